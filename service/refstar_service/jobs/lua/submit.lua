-- KEYS job gone line other_line claims [index of the owner's jobs, if this one is to be listed]
-- ARGV id jobs ttl memory priority owner request outline lifetime webhook ('' if none)
--   bytes uploads results claim ('' if there is none) model ('' if any will do) schema
-- -> {'new', created_at, expires_at, version}, or the fields of a job that is known,
--    or {'full', {what, how much there is, how much there may be}}
-- uses jobs.record, jobs.room, redis.clock
local id, line = ARGV[1], KEYS[3]
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
  return read_job(id)
end

-- Its bytes are in Redis by now, so its memory is not asked about again.
local limits = {jobs = tonumber(ARGV[2]), bytes = tonumber(ARGV[11]), share = 0}
local claimed = redis.call('ZSCORE', KEYS[5], ARGV[14]) -- then its bytes are among those that are claimed
local uploads, results = tonumber(ARGV[12]), tonumber(ARGV[13])
local shortage = find_shortage({line, KEYS[4]}, KEYS[5], limits, claimed and 0 or uploads, claimed and 0 or results)
if shortage then
  return {'full', shortage}
end

local entry = redis.call('XADD', line, '*', 'job', id, 'uploads', ARGV[12], 'results', ARGV[13],
  'number', 1 + entry_number(redis.call('XREVRANGE', line, '+', '-', 'COUNT', 1)[1]), 'model', ARGV[15])
count_bytes(line, uploads, results)
-- Not earlier: a first write that cannot grow would open the way for the others where memory is full.
redis.call('ZREM', KEYS[5], ARGV[14])
local created_at = moment(now())
local changes = {'schema', ARGV[16], 'status', 'queued', 'priority', ARGV[5], 'owner', ARGV[6], 'request', ARGV[7],
  'outline', ARGV[8], 'entry', entry, 'attempts', '0', 'created_at', created_at}
if ARGV[10] ~= '' then
  changes[#changes + 1] = 'webhook'
  changes[#changes + 1] = ARGV[10]
end
local version, expires_at = commit_change(id, changes, ARGV[3], ARGV[4])
if KEYS[6] then
  list_job(KEYS[6], id, ARGV[9])
end
return {'new', created_at, expires_at, version}
