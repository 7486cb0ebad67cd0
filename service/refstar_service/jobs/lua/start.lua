-- KEYS job gone line
-- ARGV id group entry consumer '' fence max_attempts ttl result_ttl memory outcome_if_lost
-- -> {attempt, fence, request, seconds since it was accepted, schema, owner}, or nil if there is nothing to do
-- uses jobs.record, jobs.line, redis.memory
local job, line = KEYS[1], KEYS[3]
local id, group, entry = ARGV[1], ARGV[2], ARGV[3]

if not is_held(line, group, entry, ARGV[4]) then
  return nil
end
local status, canceling, fence, attempts, request, own_entry, created_at, started_at, schema, owner =
  unpack(redis.call('HMGET', job,
    'status', 'canceling', 'fence', 'attempts', 'request', 'entry', 'created_at', 'started_at', 'schema', 'owner'))
-- Without them in the record, it begins anew.
attempts, created_at = tonumber(attempts) or 0, tonumber(created_at) or now()
if not stands_for_work(entry, status, own_entry) then
  write_even_when_full(job)
  end_overdue(id)
  drop_entry(line, group, entry)
  return nil
end
-- The reply to this very call got lost, and it comes again.
if status == 'running' and fence == ARGV[6] then
  return {attempts, fence, request or '', moment(started_at - created_at), schema or '0', owner or ''}
end

write_even_when_full(job)
if canceling then
  end_job(id, 'canceled', {}, ARGV[9], ARGV[10])
  drop_entry(line, group, entry)
  return nil
end
if attempts >= tonumber(ARGV[7]) then
  end_job(id, 'failed', {'outcome', ARGV[11]}, ARGV[9], ARGV[10])
  drop_entry(line, group, entry)
  return nil
end

attempts = attempts + 1
started_at = moment(now())
local changes = {'status', 'running', 'fence', ARGV[6], 'attempts', string.format('%d', attempts), 'started_at', started_at}
commit_change(id, changes, ARGV[8], ARGV[10])
return {attempts, ARGV[6], request or '', moment(started_at - created_at), schema or '0', owner or ''}
