-- KEYS notices owed notice
-- ARGV id lease after ('' to forget it) tried
if ARGV[3] == '' then
  -- Whoever delivered it may forget it, also if it took so long that somebody else has the lease.
  local owner = redis.call('HGET', KEYS[3], 'owner')
  redis.call('ZREM', KEYS[1], ARGV[1])
  if redis.call('DEL', KEYS[3]) == 1 and owner and redis.call('HINCRBY', KEYS[2], owner, -1) <= 0 then
    redis.call('HDEL', KEYS[2], owner)
  end
  return
end
if redis.call('HGET', KEYS[3], 'lease') ~= ARGV[2] then
  return
end
redis.call('HDEL', KEYS[3], 'lease')  -- first, since it cannot grow: see take
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
if ARGV[4] == '1' then
  redis.call('HINCRBY', KEYS[3], 'attempts', 1)
end
