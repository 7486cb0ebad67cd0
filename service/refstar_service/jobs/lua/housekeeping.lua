-- KEYS lines
-- ARGV group idle_ms
-- -> how many consumers were deleted
-- uses jobs.line
-- In one script, since deleting a consumer that has just reserved something loses its entries for ever.
local deleted = 0
for _, line in ipairs(KEYS) do
  local status = read_group(line, ARGV[1])
  if status.err then
    return status
  end
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', line, ARGV[1])) do
    local consumer = {}
    for i = 1, #row, 2 do
      consumer[row[i]] = row[i + 1]
    end
    if consumer['pending'] == 0 and consumer['idle'] >= tonumber(ARGV[2]) then
      redis.call('XGROUP', 'DELCONSUMER', line, ARGV[1], consumer['name'])
      deleted = deleted + 1
    end
  end
end
return deleted
