-- KEYS record
-- ARGV holder done ttl_ms
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return
end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], 'done', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
