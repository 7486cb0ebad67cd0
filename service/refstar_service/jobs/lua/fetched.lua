-- KEYS job
-- ARGV id
-- uses jobs.record
-- Only of what is held: a result that expired while it was read is not to be remembered.
if redis.call('HEXISTS', STORED, ARGV[1]) == 1 then
  redis.call('ZADD', FETCHED, 'NX', now(), ARGV[1])
end
