-- KEYS claims line other_line
-- ARGV claim jobs bytes share blobs_here (1: uploads and results take memory of this Redis) uploads results seconds
-- -> nil if there is room, which is now kept free for `seconds`, else {what, how much there is, how much there may be}
-- uses jobs.room, redis.clock
local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time)
-- Without it: this very call may come again.
redis.call('ZREM', KEYS[1], ARGV[1])
local limits =
  {jobs = tonumber(ARGV[2]), bytes = tonumber(ARGV[3]), share = tonumber(ARGV[4]), blobs_here = tonumber(ARGV[5])}
local shortage = find_shortage({KEYS[2], KEYS[3]}, KEYS[1], limits, tonumber(ARGV[6]), tonumber(ARGV[7]))
if shortage then
  return shortage
end
redis.call('ZADD', KEYS[1], time + tonumber(ARGV[8]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[8])
return nil
