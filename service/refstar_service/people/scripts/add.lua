-- KEYS person index
-- ARGV id limit ttl owner name request_id prefix_of_people
-- -> the person's fields, or how many there are if these are too many
local known = redis.call('HGETALL', KEYS[1])
if #known > 0 then
  return known
end
local limit = tonumber(ARGV[2])
if redis.call('ZCARD', KEYS[2]) >= limit then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if redis.call('EXISTS', ARGV[7] .. id) == 0 then
      redis.call('ZREM', KEYS[2], id)
    end
  end
  local count = redis.call('ZCARD', KEYS[2])
  if count >= limit then
    return count
  end
end

local time = redis.call('TIME')
local now, ttl = tonumber(time[1]) + tonumber(time[2]) / 1e6, tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[4], 'name', ARGV[5], 'request_id', ARGV[6], 'status', 'preparing',
  'created_at', string.format('%.3f', now), 'expires_at', string.format('%.3f', now + ttl))
redis.call('PEXPIRE', KEYS[1], math.ceil(ttl * 1000))
redis.call('ZADD', KEYS[2], time[1] * 1000000 + time[2], ARGV[1])
-- Everybody lives as long, so the index of an owner who adds nobody any more goes with the last of them.
redis.call('PEXPIRE', KEYS[2], math.ceil(ttl * 1000))
return redis.call('HGETALL', KEYS[1])
