-- KEYS person
-- ARGV id, references as they were read, change as it was read ('' if none), change from now on ('' if none),
--   bytes that are stored now ('': as it is), field value ...
-- -> 1; 0 if the person is gone; -1 if another change came before this one
-- uses redis.clock, blobs.ledger
local person = KEYS[1]
local owner, expires_at, references, change =
  unpack(redis.call('HMGET', person, 'owner', 'expires_at', 'references', 'change'))
if redis.call('EXISTS', person) == 0 then
  return 0
end
if (references or '') ~= ARGV[2] or (change or '') ~= ARGV[3] then
  return -1
end
redis.call('HDEL', person, 'failure', 'change', 'changed_at')
if ARGV[4] ~= '' then
  redis.call('HSET', person, 'change', ARGV[4], 'changed_at', moment(now()))
end
if #ARGV > 5 then
  redis.call('HSET', person, unpack(ARGV, 6))
end
if ARGV[5] ~= '' then
  hold(ARGV[1], owner or '', 'people', tonumber(ARGV[5]), 0, tonumber(expires_at) or now())
end
return 1
