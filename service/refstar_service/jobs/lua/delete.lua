-- KEYS job gone
-- ARGV id group [holder: only if this one submitted it]
-- -> {1 if it waited, so that no worker meets it any more (else 0), the job's last fields, 1 if it is left as it is}
-- uses jobs.record, jobs.turns
local id, group, holder = ARGV[1], ARGV[2], ARGV[3]
local fields, named = read_job(id), {}
for i = 1, #fields, 2 do
  named[fields[i]] = fields[i + 1]
end
if #fields == 0 or holder and (named.holder or '') ~= holder then
  return {0, fields, #fields > 0 and 1 or 0}
end
redis.call('DEL', KEYS[1], KEYS[2])
let_go(id)
if named.owner then
  redis.call('ZREM', jobs_key(named.owner), id)
end
local withdrawn = withdraw(line_key(named.priority or 'normal'), group, named.entry, named.owner or '')
redis.call('PUBLISH', CHANGES, '0 deleted ' .. id)
return {withdrawn and 1 or 0, fields, 0}
