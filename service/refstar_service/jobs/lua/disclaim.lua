-- KEYS job
-- ARGV id
-- uses jobs.record
if not job_status(ARGV[1]) then
  let_go(ARGV[1])
end
