-- KEYS lines
-- ARGV group
-- -> per line {depth, held, oldest waiting entry or ''}, then the time in seconds
-- uses jobs.line, redis.clock
local result = {}
for index, line in ipairs(KEYS) do
  local status = read_group(line, ARGV[1])
  if status.err then
    return status
  end
  local first = redis.call('XRANGE', line, '(' .. status['last-delivered-id'], '+', 'COUNT', 1)[1]
  result[index] = {redis.call('XLEN', line), status['pending'], first and first[1] or ''}
end
result[#result + 1] = moment(now())
return result
