-- KEYS job gone line
-- ARGV id group entry consumer fence status outcome ttl memory kept (as end_job has it)
--   faces that went through the model, owner (of a job that is gone, nothing else tells it)
-- -> 1 recorded, 0 not kept
-- uses jobs.record, jobs.line, jobs.turns, redis.memory
local job, line = KEYS[1], KEYS[3]
local id, group, entry = ARGV[1], ARGV[2], ARGV[3]
local faces, owner = tonumber(ARGV[11]), ARGV[12]
local status, canceling, fence, own_entry, recorded =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry', 'recorded'))

if not stands_for_work(entry, status, own_entry) then
  write_even_when_full(job)
  end_overdue(id)
  end_turn(line, group, entry, owner, faces)
  -- The reply to this very call got lost, and it comes again.
  return recorded == ARGV[5] and 1 or 0
end
-- Someone else has started it since, or it waits for someone else: the entry is not ours to drop either.
if status ~= 'running' or fence ~= ARGV[5] then
  return 0
end

-- The entry goes last: should anything before fail, it is still there for another attempt.
write_even_when_full(job)
if canceling then
  end_job(id, 'canceled', {}, ARGV[8], ARGV[9])
  end_turn(line, group, entry, owner, faces)
  return 0
end
end_job(id, ARGV[6], {'outcome', ARGV[7], 'recorded', fence}, ARGV[8], ARGV[9], ARGV[10])
end_turn(line, group, entry, owner, faces)
return 1
