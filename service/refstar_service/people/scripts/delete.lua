-- KEYS person
-- ARGV id prefix_of_indexes
-- -> the person's last fields
local fields = redis.call('HGETALL', KEYS[1])
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', ARGV[2] .. owner, ARGV[1])
end
return fields
