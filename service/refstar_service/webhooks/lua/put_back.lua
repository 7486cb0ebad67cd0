-- KEYS notice
-- ARGV id lease after tried
-- uses webhooks.notices, redis.clock
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[2] then
  return
end
redis.call('HDEL', KEYS[1], 'lease') -- first, since it cannot grow: see redis/lua/memory.lua
redis.call('ZADD', NOTICES, now() + tonumber(ARGV[3]), ARGV[1])
if ARGV[4] == '1' then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
end
