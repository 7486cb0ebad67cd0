-- KEYS person
-- ARGV id limit ttl owner name request_id schema
-- -> the person's fields, or how many there are if these are too many
-- uses people.records, redis.clock
local person, index = KEYS[1], people_key(ARGV[4])
local known = redis.call('HGETALL', person)
if #known > 0 then
  return known
end
local limit = tonumber(ARGV[2])
if redis.call('ZCARD', index) >= limit then
  for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if redis.call('EXISTS', person_key(id)) == 0 then
      redis.call('ZREM', index, id)
    end
  end
  local count = redis.call('ZCARD', index)
  if count >= limit then
    return count
  end
end

local time, ttl = now(), tonumber(ARGV[3])
redis.call('HSET', person, 'schema', ARGV[7], 'owner', ARGV[4], 'name', ARGV[5], 'request_id', ARGV[6], 'status', 'preparing',
  'created_at', moment(time), 'expires_at', moment(time + ttl))
redis.call('PEXPIRE', person, milliseconds(ttl))
redis.call('ZADD', index, now_microseconds(), ARGV[1])
-- Everybody lives as long, so the index of an owner who adds nobody any more goes with the last of them.
redis.call('PEXPIRE', index, milliseconds(ttl))
return redis.call('HGETALL', person)
