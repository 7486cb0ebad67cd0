-- KEYS job gone line other_line claims [index of the owner's jobs, if this one is to be listed]
-- ARGV id channel jobs ttl memory priority owner request outline lifetime webhook ('' if none)
--   bytes uploads results claim ('' if there is none)
-- -> the job's fields, or {'full', {what, how much there is, how much there may be}}
local known = read(KEYS[1], KEYS[2])
if #known > 0 then
  return known
end

-- Its bytes are in Redis by now, so its memory is not asked about again.
local limits = {jobs = tonumber(ARGV[3]), bytes = tonumber(ARGV[12]), share = 0}
local claimed = redis.call('ZSCORE', KEYS[5], ARGV[15]) -- then its bytes are among those that are claimed
local uploads, results = tonumber(ARGV[13]), tonumber(ARGV[14])
local full = refusal({KEYS[3], KEYS[4]}, KEYS[5], limits, claimed and 0 or uploads, claimed and 0 or results)
if full then
  return {'full', full}
end

local entry = redis.call('XADD', KEYS[3], '*', 'job', ARGV[1], 'uploads', ARGV[13], 'results', ARGV[14],
  'number', 1 + number_of(redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]))
count_bytes(KEYS[3], uploads, results)
-- Not earlier: a first write that cannot grow would open the way for the others where memory is full.
redis.call('ZREM', KEYS[5], ARGV[15])
redis.call('HSET', KEYS[1], 'status', 'queued', 'priority', ARGV[6], 'owner', ARGV[7], 'request', ARGV[8],
  'outline', ARGV[9], 'entry', entry, 'attempts', 0, 'created_at', moment(now()))
commit(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[4], ARGV[5])
if ARGV[11] ~= '' then
  redis.call('HSET', KEYS[1], 'webhook', ARGV[11])
end
if KEYS[6] then
  enlist(KEYS[6], KEYS[1], KEYS[2], ARGV[1], ARGV[10])
end
return redis.call('HGETALL', KEYS[1])
