-- KEYS job gone line other_line (the same again if the line is limited by itself) [index of the owner's jobs, if this one is to be listed]
-- ARGV id jobs ttl memory priority owner request outline lifetime webhook ('' if none)
--   bytes quota uploads results model ('' if any will do) schema holder (who submits it; '' if nobody else may)
-- -> {'new', created_at, expires_at, version}, or the fields of a job that is known, or {'full', a shortage as in claim}
-- uses jobs.record, jobs.room, jobs.turns, jobs.idle, redis.clock
local id, line = ARGV[1], KEYS[3]
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
  return read_job(id)
end

-- If they were claimed, its bytes are among those that are held. They are in Redis by now, so its memory is not asked
-- about again.
local uploads, results = tonumber(ARGV[13]), tonumber(ARGV[14])
local _, _, claimed = read_holding(id)
local limits = {jobs = tonumber(ARGV[2]), bytes = 0, quota = 0, share = 0, grace = 0}
if not claimed then
  limits.bytes, limits.quota = tonumber(ARGV[11]), tonumber(ARGV[12])
end
local shortage = find_shortage(KEYS[4] == line and {line} or {line, KEYS[4]}, ARGV[6], limits, uploads + results, {})
if shortage then
  return {'full', shortage}
end

-- The first write: one that cannot grow would open the way for the others where memory is full.
local entry = redis.call('XADD', line, '*', 'job', id, 'uploads', ARGV[13], 'results', ARGV[14],
  'number', 1 + entry_number(redis.call('XREVRANGE', line, '+', '-', 'COUNT', 1)[1]), 'model', ARGV[15])
-- A job may wait for its time and then run for as long; its uploads outlast that.
hold(id, ARGV[6], 'uploads', uploads + results, results, now() + 2 * tonumber(ARGV[3]))
local created_at = moment(now())
local changes = {'schema', ARGV[16], 'status', 'queued', 'priority', ARGV[5], 'owner', ARGV[6], 'request', ARGV[7],
  'outline', ARGV[8], 'entry', entry, 'attempts', '0', 'created_at', created_at}
if ARGV[10] ~= '' then
  changes[#changes + 1] = 'webhook'
  changes[#changes + 1] = ARGV[10]
end
if ARGV[17] ~= '' then
  changes[#changes + 1] = 'holder'
  changes[#changes + 1] = ARGV[17]
end
local version, expires_at = commit_change(id, changes, ARGV[3], ARGV[4])
sort_in(line)
if KEYS[5] then
  list_job(KEYS[5], id, ARGV[9])
end
call_one(ARGV[15])
return {'new', created_at, expires_at, version}
