-- KEYS job gone line
-- ARGV id channel group entry consumer fence ('' if not started) ttl result_ttl memory
local job, gone, line = KEYS[1], KEYS[2], KEYS[3]
local id, channel, group, entry, consumer = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if not is_held(line, group, entry, consumer) then
  return
end
local status, canceling, fence, own_entry =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry'))
if not stands(entry, status, own_entry) then
  drop(line, group, entry)
  return
end
write_even_when_full(job)
if canceling then
  finish(job, gone, id, channel, 'canceled', {}, ARGV[8], ARGV[9])
  drop(line, group, entry)
  return
end
if status == 'running' and fence == ARGV[6] then
  redis.call('HINCRBY', job, 'attempts', -1)
  redis.call('HDEL', job, 'started_at')
  commit(job, gone, id, channel, {'status', 'queued'}, ARGV[7], ARGV[9])
end
hand_over(line, group, entry, consumer)
