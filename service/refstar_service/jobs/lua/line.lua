-- The streams in which jobs wait. XLEN is "waiting + held".
-- uses redis.keys

local function line_key(priority)
  return PREFIX .. 'queue:' .. priority
end

-- What a stream's entry says under a name, '' if nothing; by name, since versions may write more or in another order.
local function entry_field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then
      return entry[2][i + 1]
    end
  end
  return ''
end

-- The number of a stream's entry, 0 for none. Each has a higher one than all that are there when it is added.
local function entry_number(entry)
  return entry and tonumber(entry_field(entry, 'number')) or 0
end

-- The same work at the end of the stream, for another model. Returns the new entry's id.
local function copy_entry(line, id, model)
  local fields = redis.call('XRANGE', line, id, id)[1][2]
  local last = redis.call('XREVRANGE', line, '+', '-', 'COUNT', 1)[1]
  for i = 1, #fields, 2 do
    if fields[i] == 'model' then
      fields[i + 1] = model
    elseif fields[i] == 'number' then
      fields[i + 1] = 1 + entry_number(last)
    end
  end
  return redis.call('XADD', line, '*', unpack(fields))
end

-- Whether it was still there: not if the reply to the same call got lost, and it comes again.
local function drop_entry(line, group, entry)
  redis.call('XACK', line, group, entry)
  return redis.call('XDEL', line, entry) == 1
end

local function is_held(line, group, entry, consumer)
  return #redis.call('XPENDING', line, group, entry, entry, 1, consumer) > 0
end

-- Whether any worker has it. Without the group, nobody has anything.
local function is_anyones(line, group, entry)
  local rows = redis.pcall('XPENDING', line, group, entry, entry, 1)
  return not rows.err and #rows > 0
end

-- Whoever looks next finds it stale: a day of idleness exceeds every stale time.
local function hand_over(line, group, entry, consumer)
  redis.call('XCLAIM', line, group, consumer, 0, entry, 'IDLE', 86400000, 'RETRYCOUNT', 0, 'JUSTID')
end

-- The group's row of XINFO GROUPS as a table; with the only field `err` if there is no such group.
local function read_group(line, group)
  for _, row in ipairs(redis.pcall('XINFO', 'GROUPS', line)) do
    local status = {}
    for i = 1, #row, 2 do
      status[row[i]] = row[i + 1]
    end
    if status['name'] == group then
      return status
    end
  end
  return redis.error_reply('NOGROUP the consumer group ' .. group .. ' of ' .. line .. ' is missing')
end
