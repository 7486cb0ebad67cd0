-- KEYS job gone line
-- ARGV id group entry consumer fence ('' if not started)
-- -> 1, or 0 if its outcome would not be kept
-- uses jobs.record, jobs.line
local job, line, group, entry, consumer = KEYS[1], KEYS[3], ARGV[2], ARGV[3], ARGV[4]

if not is_held(line, group, entry, consumer) then
  return 0
end
-- JUSTID does not count as a delivery, and without FORCE nothing that was acknowledged comes back.
redis.call('XCLAIM', line, group, consumer, 0, entry, 'JUSTID')

local status, canceling, fence, own_entry =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry'))
if not stands_for_work(entry, status, own_entry) or canceling then
  return 0
end
if ARGV[5] ~= '' and (status ~= 'running' or fence ~= ARGV[5]) then
  return 0
end
return 1
