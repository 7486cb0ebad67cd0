-- KEYS notices
-- ARGV n lease_seconds lease
-- -> per notice {id, url, owner, status, ended_at, attempts, body, lease}
-- uses webhooks.notices, redis.clock, redis.memory
local time, taken = now(), {}
-- What is owed is delivered all the same, which frees memory.
write_even_when_full(OWED)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', NOTICES, '-inf', time, 'LIMIT', 0, ARGV[1])) do
  local notice = notice_key(id)
  if redis.call('EXISTS', notice) == 0 then
    redis.call('ZREM', NOTICES, id)
  else
    redis.call('ZADD', NOTICES, time + tonumber(ARGV[2]), id)
    redis.call('HSET', notice, 'lease', ARGV[3])
    local fields = redis.call('HMGET', notice, 'url', 'owner', 'status', 'ended_at', 'attempts', 'body', 'lease')
    table.insert(fields, 1, id)
    taken[#taken + 1] = fields
  end
end
return taken
