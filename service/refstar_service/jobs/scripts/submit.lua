-- KEYS job gone line other_line claims [index of the owner's jobs, if this one is to be listed]
-- ARGV id channel jobs ttl memory priority owner request outline lifetime webhook ('' if none)
--   bytes uploads results claim ('' if there is none) model ('' if any will do)
-- -> {'new', created_at, expires_at, version}, or the fields of a job that is known,
--    or {'full', {what, how much there is, how much there may be}}
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
  return read(KEYS[1], KEYS[2])
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
  'number', 1 + number_of(redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]), 'model', ARGV[16])
count_bytes(KEYS[3], uploads, results)
-- Not earlier: a first write that cannot grow would open the way for the others where memory is full.
redis.call('ZREM', KEYS[5], ARGV[15])
local created_at = moment(now())
local changes = {'status', 'queued', 'priority', ARGV[6], 'owner', ARGV[7], 'request', ARGV[8],
  'outline', ARGV[9], 'entry', entry, 'attempts', '0', 'created_at', created_at}
if ARGV[11] ~= '' then
  changes[#changes + 1] = 'webhook'
  changes[#changes + 1] = ARGV[11]
end
local version, expires_at = commit(KEYS[1], KEYS[2], ARGV[1], ARGV[2], changes, ARGV[4], ARGV[5])
if KEYS[6] then
  enlist(KEYS[6], KEYS[1], KEYS[2], ARGV[1], ARGV[10])
end
return {'new', created_at, expires_at, version}
