-- KEYS job gone line
-- ARGV id channel group entry consumer '' fence max_attempts ttl result_ttl memory outcome_if_lost
-- -> {attempt, fence, request, seconds since it was accepted}, or nil if there is nothing to do
local job, gone, line = KEYS[1], KEYS[2], KEYS[3]
local id, channel, group, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if not is_held(line, group, entry, ARGV[5]) then
  return nil
end
local status, canceling, fence, attempts, request, own_entry, created_at, started_at = unpack(redis.call('HMGET', job,
  'status', 'canceling', 'fence', 'attempts', 'request', 'entry', 'created_at', 'started_at'))
if not stands(entry, status, own_entry) then
  drop(line, group, entry)
  return nil
end
-- The reply to this very call got lost, and it comes again.
if status == 'running' and fence == ARGV[7] then
  return {tonumber(attempts), fence, request, moment(started_at - created_at)}
end

write_even_when_full(job)
if canceling then
  finish(job, gone, id, channel, 'canceled', {}, ARGV[10], ARGV[11])
  drop(line, group, entry)
  return nil
end
if tonumber(attempts) >= tonumber(ARGV[8]) then
  finish(job, gone, id, channel, 'failed', {'outcome', ARGV[12]}, ARGV[10], ARGV[11])
  drop(line, group, entry)
  return nil
end

attempts = attempts + 1
started_at = moment(now())
local changes = {'status', 'running', 'fence', ARGV[7], 'attempts', string.format('%d', attempts), 'started_at', started_at}
commit(job, gone, id, channel, changes, ARGV[9], ARGV[11])
return {attempts, ARGV[7], request, moment(started_at - created_at)}
