-- KEYS the key's unfinished jobs
-- ARGV id limit longest
-- -> 1, or 0 if there are as many as may be
-- Nobody tells when a job ends: what has ended is found here, and only once the places are used up, so a look costs
-- as many reads as there are places, and none most of the time.
-- uses jobs.record, redis.clock
local unfinished, id, limit, longest = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = math.floor(now())
if redis.call('ZCARD', unfinished) >= limit then
  redis.call('ZREMRANGEBYSCORE', unfinished, '-inf', time)
  local held = redis.call('ZRANGE', unfinished, 0, -1, 'WITHSCORES')
  for i = 1, #held, 2 do
    local status = job_status(held[i])
    -- What is not there was deleted, or is about to be queued by a request that still runs.
    local new = tonumber(held[i + 1]) - longest > time - 60
    if not is_unfinished(status) and (status or not new) then
      redis.call('ZREM', unfinished, held[i])
    end
  end
end
if redis.call('ZCARD', unfinished) >= limit and not redis.call('ZSCORE', unfinished, id) then
  return 0
end
redis.call('ZADD', unfinished, time + longest, id)
redis.call('EXPIREAT', unfinished, math.ceil(time + 2 * longest))
return 1
