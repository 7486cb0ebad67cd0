-- KEYS one counter per policy
-- ARGV quota window_ms, per policy
-- -> index of the policy that refuses, or 0; then per policy {used, milliseconds until the window ends}
-- uses redis.memory
local refused, rows = 0, {}
for i, counter in ipairs(KEYS) do
  local used, left = tonumber(redis.call('GET', counter) or 0), redis.call('PTTL', counter)
  rows[i] = {used, left > 0 and left or tonumber(ARGV[2 * i])}
  if used >= tonumber(ARGV[2 * i - 1]) and refused == 0 then
    refused = i
  end
end
if refused == 0 then
  -- Whoever looks at results or deletes them then must be counted all the same.
  write_even_when_full(KEYS[1] .. ':nothing')
  for i, counter in ipairs(KEYS) do
    rows[i][1] = redis.call('INCR', counter)
    if redis.call('PTTL', counter) < 0 then
      redis.call('PEXPIRE', counter, ARGV[2 * i])
    end
  end
end
return {refused, unpack(rows)}
