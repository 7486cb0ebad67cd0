-- KEYS job gone
-- ARGV id group
-- -> {1 if it waited, so that no worker meets it any more (else 0), the job's last fields}
-- uses jobs.record, jobs.turns
local id, withdrawn = ARGV[1], false
local fields = read_job(id)
if #fields > 0 then
  local named = {}
  for i = 1, #fields, 2 do
    named[fields[i]] = fields[i + 1]
  end
  redis.call('DEL', KEYS[1], KEYS[2])
  let_go(id)
  if named.owner then
    redis.call('ZREM', jobs_key(named.owner), id)
  end
  withdrawn = withdraw(line_key(named.priority or 'normal'), ARGV[2], named.entry, named.owner or '')
  redis.call('PUBLISH', CHANGES, '0 deleted ' .. id)
end
return {withdrawn and 1 or 0, fields}
