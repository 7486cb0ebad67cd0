-- KEYS line_high line_normal jobs...
-- ARGV group
-- -> per job how many are taken before it if they all are as much work, or -1 if it is not queued
-- uses jobs.turns
local lines, turns = {high = KEYS[1], normal = KEYS[2]}, {}

local function turns_of(priority)
  turns[priority] = turns[priority] or list_turns(lines[priority])
  return turns[priority]
end

local function count_waiting(priority)
  local count = 0
  for _, turn in ipairs(turns_of(priority)) do
    count = count + turn[3]
  end
  return count
end

-- Of this owner's jobs, `own` wait before it: then, of every other's, those whose turn comes before its own.
local function count_before(priority, owner, own)
  local mine, count = nil, own
  for _, turn in ipairs(turns_of(priority)) do
    mine = turn[1] == owner and turn[2] + own or mine
  end
  for _, turn in ipairs(turns_of(priority)) do
    if turn[1] ~= owner and mine then
      local ahead = mine - turn[2]
      local whole = math.floor(ahead)
      -- Of two with the same time, the first by name is first.
      local turns_before = (ahead > whole or turn[1] < owner) and whole + 1 or whole
      count = count + math.max(0, math.min(turn[3], turns_before))
    end
  end
  return count
end

-- nil for a job that a worker has, or gave back.
local function find_place(priority, owner, entry)
  local line = lines[priority]
  local row = redis.call('XRANGE', line, entry, entry)[1]
  local rank = row and redis.call('ZRANK', owner_key(line, owner), entry .. ' ' .. entry_field(row, 'model'))
  if rank then
    return count_before(priority, owner, rank)
  end
  if row and not is_anyones(line, ARGV[1], entry) then -- an older gateway added it, and no worker has looked since
    return entry_number(row) - entry_number(redis.call('XRANGE', line, '-', '+', 'COUNT', 1)[1])
  end
end

local result = {}
for i = 3, #KEYS do
  local status, priority, owner, entry =
    unpack(redis.call('HMGET', KEYS[i], 'status', 'priority', 'owner', 'entry'))
  if status == 'queued' then
    priority = priority == 'high' and 'high' or 'normal'
    local place = entry and find_place(priority, owner or '', entry)
    result[i - 2] = place and place + (priority == 'normal' and count_waiting('high') or 0) or 0
  else
    result[i - 2] = -1
  end
end
return result
