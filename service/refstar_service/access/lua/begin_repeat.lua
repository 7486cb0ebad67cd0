-- KEYS record
-- ARGV fingerprint new_id holder patience ttl_ms
-- -> {state, id, holder}
-- uses redis.clock
local time = now()
local fingerprint, id, held_until, done, holder =
  unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'id', 'until', 'done', 'holder'))
if fingerprint and fingerprint ~= ARGV[1] then
  if done or holder then
    return {'different', '', ''}
  end
  id = nil -- the request before was refused, and this one is another
end
if done then
  return {'done', id, ''}
end
if holder and holder ~= ARGV[3] and tonumber(held_until) > time then -- its own: the reply was lost
  return {'running', id, ''}
end
id = id or ARGV[2]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'id', id, 'holder', ARGV[3],
  'until', moment(time + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'begun', id, ARGV[3]}
