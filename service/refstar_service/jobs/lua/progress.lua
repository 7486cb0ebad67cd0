-- KEYS jobs...
-- ARGV of each: id fence progress
-- uses jobs.record
-- Neither a new version nor a new tombstone: what it comes to is in the outcome. The fence in the field tells whose
-- progress it is, so nothing needs to clear it away.
for i, job in ipairs(KEYS) do
  local id, fence, progress = unpack(ARGV, 3 * i - 2, 3 * i)
  local status, current = unpack(redis.call('HMGET', job, 'status', 'fence'))
  if status == 'running' and current == fence then
    redis.call('HSET', job, 'progress', fence .. ' ' .. progress)
    redis.call('PUBLISH', CHANGES, '0 running ' .. id)
  end
end
