-- KEYS lines
-- ARGV group
-- -> per line {depth, held, oldest waiting entry or ''}, then the time in seconds
-- uses jobs.line, redis.clock
local result = {}

-- The oldest entry that nobody holds: at most one beyond as many as are held.
local function find_waiting(line, held)
  local is_pending = {}
  for _, row in ipairs(held > 0 and redis.call('XPENDING', line, ARGV[1], '-', '+', held) or {}) do
    is_pending[row[1]] = true
  end
  for _, entry in ipairs(redis.call('XRANGE', line, '-', '+', 'COUNT', held + 1)) do
    if not is_pending[entry[1]] then
      return entry[1]
    end
  end
end

for index, line in ipairs(KEYS) do
  local status = read_group(line, ARGV[1])
  if status.err then
    return status
  end
  local held = status['pending']
  result[index] = {redis.call('XLEN', line), held, find_waiting(line, held) or ''}
end
result[#result + 1] = moment(now())
return result
