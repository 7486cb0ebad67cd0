-- KEYS the owner's unfinished jobs
-- ARGV id limit longest prefix of job keys
-- -> 1, or 0 if there are as many as may be
-- Nobody tells when a job ends: what has ended is found here, and only once the places are used up, so a look costs
-- as many reads as there are places, and none most of the time.
local time = redis.call('TIME')
local now = tonumber(time[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  local held = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #held, 2 do
    local status = redis.call('HGET', ARGV[4] .. held[i], 'status')
    -- What is not there was deleted, or is about to be queued by a request that still runs.
    local new = tonumber(held[i + 1]) - tonumber(ARGV[3]) > now - 60
    if status ~= 'queued' and status ~= 'running' and (status or not new) then
      redis.call('ZREM', KEYS[1], held[i])
    end
  end
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIREAT', KEYS[1], math.ceil(now + 2 * tonumber(ARGV[3])))
return 1
