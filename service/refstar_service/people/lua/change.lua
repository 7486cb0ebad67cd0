-- KEYS person
-- ARGV id ttl ('': as it is) bytes that are stored now ('': as it is) field value ...
-- -> 1, or 0 if the person is gone
-- uses redis.clock, blobs.ledger
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] ~= '' then
  local owner, expires_at = unpack(redis.call('HMGET', KEYS[1], 'owner', 'expires_at'))
  hold(ARGV[1], owner or '', 'people', tonumber(ARGV[3]), 0, tonumber(expires_at) or now())
end
if ARGV[2] ~= '' then
  local ttl = tonumber(ARGV[2])
  redis.call('HSET', KEYS[1], 'expires_at', moment(now() + ttl))
  redis.call('PEXPIRE', KEYS[1], milliseconds(ttl))
end
return 1
