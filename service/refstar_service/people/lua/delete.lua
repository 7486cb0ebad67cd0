-- KEYS person
-- ARGV id
-- -> the person's last fields
-- uses people.records
local fields = redis.call('HGETALL', KEYS[1])
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', people_key(owner), ARGV[1])
end
return fields
