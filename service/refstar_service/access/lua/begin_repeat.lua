-- KEYS record
-- ARGV fingerprint new_id holder patience ttl_ms
-- -> {state, id, holder}
-- uses redis.clock
local time = now()
local fingerprint, id, held_until, done =
  unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'id', 'until', 'done'))
if fingerprint and fingerprint ~= ARGV[1] then
  return {'different', '', ''}
end
if done then
  return {'done', id, ''}
end
if held_until and tonumber(held_until) > time then
  return {'running', id, ''}
end
id = id or ARGV[2]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'id', id, 'holder', ARGV[3],
  'until', moment(time + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'begun', id, ARGV[3]}
