-- KEYS line_high line_normal jobs...
-- ARGV group
-- -> per job how many are taken before it, or -1 if it is not queued
-- However many jobs are asked about, each line is looked through once at the most.
local lines, places = {high = KEYS[1], normal = KEYS[2]}, {}

-- Of each entry that no worker has got, how many come before it.
local function places_in(priority)
  if not places[priority] then
    local line = lines[priority]
    -- Before the first worker comes there may be no group.
    local last = group_status(line, ARGV[1])['last-delivered-id'] or '0-0'
    local found = {count = 0}
    for _, entry in ipairs(redis.call('XRANGE', line, '(' .. last, '+')) do
      found[entry[1]] = found.count
      found.count = found.count + 1
    end
    places[priority] = found
  end
  return places[priority]
end

local result = {}
for i = 3, #KEYS do
  local status, priority, entry = unpack(redis.call('HMGET', KEYS[i], 'status', 'priority', 'entry'))
  if status == 'queued' then
    local place = places_in(priority)[entry]
    -- One without a place is with a worker already.
    result[i - 2] = not place and 0 or priority == 'high' and place or place + places_in('high').count
  else
    result[i - 2] = -1
  end
end
return result
