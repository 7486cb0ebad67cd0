-- The streams in which jobs wait, and what admission counts of them.

-- What a stream's entry says under a name, '' if nothing; by name, since versions may write more or in another order.
local function entry_field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then
      return entry[2][i + 1]
    end
  end
  return ''
end

-- The number of a stream's entry, 0 for none. Entries that wait are numbered without gaps, since none of them is ever
-- deleted: so places in a line are differences, and nobody counts.
local function entry_number(entry)
  return entry and tonumber(entry_field(entry, 'number')) or 0
end

-- XLEN is "waiting + held", and the hash beside a line holds the bytes of those. Both change only in submit and in
-- `drop_entry`, each in one step, so neither can drift.
local function bytes_key(line)
  return line .. ':bytes'
end

local function count_bytes(line, uploads, results)
  local key = bytes_key(line)
  redis.call('HINCRBY', key, 'uploads', string.format('%d', uploads)) -- a number may be -0
  redis.call('HINCRBY', key, 'results', string.format('%d', results))
end

local function drop_entry(line, group, entry)
  local found = redis.call('XRANGE', line, entry, entry)[1]
  redis.call('XACK', line, group, entry)
  if redis.call('XDEL', line, entry) == 1 then
    local uploads, results = tonumber(entry_field(found, 'uploads')), tonumber(entry_field(found, 'results'))
    count_bytes(line, -(uploads or 0), -(results or 0))
  end
end

local function is_held(line, group, entry, consumer)
  return #redis.call('XPENDING', line, group, entry, entry, 1, consumer) > 0
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
