-- KEYS job gone line other_line [index of the owner's jobs, if this one is to be listed]
-- ARGV id channel limit ttl memory priority owner request outline lifetime webhook ('' if none)
-- -> the job's fields, or the depth if the queue is full
local known = read(KEYS[1], KEYS[2])
if #known > 0 then
  return known
end

local depth = redis.call('XLEN', KEYS[3]) + redis.call('XLEN', KEYS[4])
if depth >= tonumber(ARGV[3]) then
  return depth
end

local entry = redis.call('XADD', KEYS[3], '*', 'job', ARGV[1])
redis.call('HSET', KEYS[1], 'status', 'queued', 'priority', ARGV[6], 'owner', ARGV[7], 'request', ARGV[8],
  'outline', ARGV[9], 'entry', entry, 'attempts', 0, 'created_at', moment(now()))
commit(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4], ARGV[5])
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[1], 'webhook', ARGV[11])
end
if KEYS[5] then
  enlist(KEYS[5], KEYS[1], KEYS[2], ARGV[1], ARGV[10])
end
return redis.call('HGETALL', KEYS[1])
