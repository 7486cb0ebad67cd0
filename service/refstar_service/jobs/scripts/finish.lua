-- KEYS job gone line
-- ARGV id channel group entry consumer fence status outcome ttl memory
-- -> 1 recorded, 0 not kept
local job, gone, line = KEYS[1], KEYS[2], KEYS[3]
local id, channel, group, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local status, canceling, fence, own_entry, recorded =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry', 'recorded'))

if not stands(entry, status, own_entry) then
  drop(line, group, entry)
  -- The reply to this very call got lost, and it comes again.
  return recorded == ARGV[6] and 1 or 0
end
-- Someone else has started it since, or it waits for someone else: the entry is not ours to drop either.
if status ~= 'running' or fence ~= ARGV[6] then
  return 0
end

-- The entry goes last: should anything before fail, it is still there for another attempt.
write_even_when_full(job)
if canceling then
  finish(job, gone, id, channel, 'canceled', {}, ARGV[9], ARGV[10])
  drop(line, group, entry)
  return 0
end
finish(job, gone, id, channel, ARGV[7], {'outcome', ARGV[8], 'recorded', fence}, ARGV[9], ARGV[10])
drop(line, group, entry)
return 1
