-- KEYS job gone
-- ARGV id result_ttl memory group
-- -> {1 if it waited, so that no worker meets it any more (else 0), the job's fields}
-- uses jobs.record, jobs.turns, redis.memory
local id, withdrawn = ARGV[1], false
local status, canceling, priority, owner, entry =
  unpack(redis.call('HMGET', KEYS[1], 'status', 'canceling', 'priority', 'owner', 'entry'))
if status == 'queued' then
  write_even_when_full(KEYS[1])
  end_job(id, 'canceled', {}, ARGV[2], ARGV[3])
  withdrawn = withdraw(line_key(priority or 'normal'), ARGV[4], entry, owner or '')
elseif status == 'running' and not canceling then
  write_even_when_full(KEYS[1])
  commit_change(id, {'canceling', '1'})
end
return {withdrawn and 1 or 0, read_job(id)}
