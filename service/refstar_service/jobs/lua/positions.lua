-- KEYS line_high line_normal jobs...
-- ARGV group
-- -> per job how many are taken before it, or -1 if it is not queued
-- uses jobs.line
local lines, waiting = {high = KEYS[1], normal = KEYS[2]}, {}

-- The numbers of the first and of the last entry that no worker has got; none: the last is before the first.
local function waiting_in(priority)
  if not waiting[priority] then
    local line = lines[priority]
    -- Before the first worker comes there may be no group.
    local delivered = read_group(line, ARGV[1])['last-delivered-id'] or '0-0'
    local first = redis.call('XRANGE', line, '(' .. delivered, '+', 'COUNT', 1)[1]
    local last = redis.call('XREVRANGE', line, '+', '(' .. delivered, 'COUNT', 1)[1]
    waiting[priority] = {first = first and entry_number(first) or 1, last = entry_number(last)}
  end
  return waiting[priority]
end

local result = {}
for i = 3, #KEYS do
  local status, priority, entry = unpack(redis.call('HMGET', KEYS[i], 'status', 'priority', 'entry'))
  if status == 'queued' then
    local own = entry_number(redis.call('XRANGE', lines[priority], entry, entry)[1])
    local place = own - waiting_in(priority).first
    local before = priority == 'normal' and waiting_in('high').last - waiting_in('high').first + 1 or 0
    -- One that is with a worker already has none before it.
    result[i - 2] = place < 0 and 0 or place + before
  else
    result[i - 2] = -1
  end
end
return result
