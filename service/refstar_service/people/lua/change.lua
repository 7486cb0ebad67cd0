-- KEYS person
-- ARGV ttl ('': as it is) field value ...
-- -> 1, or 0 if the person is gone
-- uses redis.clock
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '' then
  local ttl = tonumber(ARGV[1])
  redis.call('HSET', KEYS[1], 'expires_at', moment(now() + ttl))
  redis.call('PEXPIRE', KEYS[1], milliseconds(ttl))
end
return 1
