-- KEYS person
-- ARGV ttl ('': as it is) field value ...
-- -> 1, or 0 if the person is gone
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '' then
  local time = redis.call('TIME')
  local ttl = tonumber(ARGV[1])
  redis.call('HSET', KEYS[1], 'expires_at', string.format('%.3f', time[1] + time[2] / 1e6 + ttl))
  redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil(ttl * 1000)))
end
return 1
