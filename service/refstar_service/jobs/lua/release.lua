-- KEYS job gone line
-- ARGV id group entry consumer fence ('' if not started) ttl result_ttl memory
--   faces that went through the model (of a job that is queued again, they will once more, and count then), owner
--   [model: from now on, the job is only for workers that have this one]
-- -> 1 if the job has ended, by this or since it was started, and is the caller's to clear up after; else 0
-- uses jobs.record, jobs.line, jobs.turns, jobs.idle, redis.memory
local job, line = KEYS[1], KEYS[3]
local id, group, entry, consumer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local faces, owner = tonumber(ARGV[9]), ARGV[10]

local status, canceling, fence, own_entry, recorded =
  unpack(redis.call('HMGET', job, 'status', 'canceling', 'fence', 'entry', 'recorded'))
if not is_held(line, group, entry, consumer) then
  -- If it ended by this very call, its reply got lost, and it comes again.
  return ARGV[5] ~= '' and recorded == ARGV[5] and 1 or 0
end
write_even_when_full(job)
if not stands_for_work(entry, status, own_entry) then
  end_overdue(id)
  end_turn(line, group, entry, owner, faces)
  return 1
end
if canceling then
  end_job(id, 'canceled', {'recorded', ARGV[5]}, ARGV[7], ARGV[8])
  end_turn(line, group, entry, owner, faces)
  return 1
end
if status == 'running' and fence == ARGV[5] then
  local changes = {'status', 'queued'}
  if ARGV[11] then
    changes[3], changes[4] = 'entry', copy_entry(line, entry, ARGV[11])
  end
  redis.call('HINCRBY', job, 'attempts', -1)
  redis.call('HDEL', job, 'started_at')
  commit_change(id, changes, ARGV[6], ARGV[8])
  if ARGV[11] then
    drop_entry(line, group, entry)
    sort_in(line)
    call_one(ARGV[11])
    return 0
  end
end
hand_over(line, group, entry, consumer)
call_one(entry_field(redis.call('XRANGE', line, entry, entry)[1], 'model'))
return 0
