-- KEYS person
-- ARGV id
-- -> the person's last fields
-- uses people.records, blobs.ledger
local fields = redis.call('HGETALL', KEYS[1])
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then
  redis.call('DEL', KEYS[1])
  let_go(ARGV[1])
  redis.call('ZREM', people_key(owner), ARGV[1])
end
return fields
