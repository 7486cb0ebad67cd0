-- KEYS job gone
-- ARGV id result_ttl memory
-- -> the job's fields
-- uses jobs.record, redis.memory
local id = ARGV[1]
local status, canceling = unpack(redis.call('HMGET', KEYS[1], 'status', 'canceling'))
if status == 'queued' then
  -- Its entry stays, for a worker to drop when its turn comes.
  write_even_when_full(KEYS[1])
  end_job(id, 'canceled', {}, ARGV[2], ARGV[3])
elseif status == 'running' and not canceling then
  write_even_when_full(KEYS[1])
  commit_change(id, {'canceling', '1'})
end
return read_job(id)
