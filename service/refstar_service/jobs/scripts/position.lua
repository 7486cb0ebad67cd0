-- KEYS job line_high line_normal
-- ARGV group
-- -> how many are taken before it, or nil if it is not queued
local status, priority, entry = unpack(redis.call('HMGET', KEYS[1], 'status', 'priority', 'entry'))
if status ~= 'queued' then
  return nil
end

local function waiting(line, up_to)
  -- Before the first worker comes there may be no group.
  local last = group_status(line, ARGV[1])['last-delivered-id'] or '0-0'
  return #redis.call('XRANGE', line, '(' .. last, up_to)
end

if priority == 'high' then
  return math.max(0, waiting(KEYS[2], entry) - 1)
end
local ahead = waiting(KEYS[3], entry) - 1
if ahead < 0 then
  return 0
end
return ahead + waiting(KEYS[2], '+')
