-- KEYS job gone
-- ARGV id channel result_ttl memory
-- -> the job's fields
local status, canceling = unpack(redis.call('HMGET', KEYS[1], 'status', 'canceling'))
if status == 'queued' then
  -- Its entry stays, for a worker to drop: XDEL of an undelivered entry makes the group's lag unknown.
  write_even_when_full(KEYS[1])
  finish(KEYS[1], KEYS[2], ARGV[1], ARGV[2], 'canceled', {}, ARGV[3], ARGV[4])
elseif status == 'running' and not canceling then
  write_even_when_full(KEYS[1])
  commit(KEYS[1], KEYS[2], ARGV[1], ARGV[2], {'canceling', '1'})
end
return read(KEYS[1], KEYS[2])
