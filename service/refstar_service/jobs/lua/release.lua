-- KEYS job gone line
-- ARGV id group entry consumer fence ('' if not started) ttl result_ttl memory
-- uses jobs.record, jobs.line, redis.memory
local job, line = KEYS[1], KEYS[3]
local id, group, entry, consumer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if not is_held(line, group, entry, consumer) then
  return
end
local status, canceling, fence, own_entry =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry'))
if not stands_for_work(entry, status, own_entry) then
  drop_entry(line, group, entry)
  return
end
write_even_when_full(job)
if canceling then
  end_job(id, 'canceled', {}, ARGV[7], ARGV[8])
  drop_entry(line, group, entry)
  return
end
if status == 'running' and fence == ARGV[5] then
  redis.call('HINCRBY', job, 'attempts', -1)
  redis.call('HDEL', job, 'started_at')
  commit_change(id, {'status', 'queued'}, ARGV[6], ARGV[8])
end
hand_over(line, group, entry, consumer)
