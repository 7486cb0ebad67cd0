-- KEYS notices owed
-- ARGV n lease_seconds lease prefix of notices
-- -> per notice {id, url, owner, status, ended_at, attempts, body, lease}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local taken = {}
-- With its memory full, Redis refuses the first write of a script if it can grow, but no later one: what is owed is
-- delivered all the same, which frees memory.
redis.call('HDEL', KEYS[2], '')
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local notice = ARGV[4] .. id
  if redis.call('EXISTS', notice) == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), id)
    redis.call('HSET', notice, 'lease', ARGV[3])
    local fields = redis.call('HMGET', notice, 'url', 'owner', 'status', 'ended_at', 'attempts', 'body', 'lease')
    table.insert(fields, 1, id)
    taken[#taken + 1] = fields
  end
end
return taken
