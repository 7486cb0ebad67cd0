-- What is owed to those who asked to be told of an end.
-- uses redis.keys, redis.clock
local NOTICES, OWED = PREFIX .. 'notices', PREFIX .. 'notices:owed'

local function notice_key(job_id)
  return PREFIX .. 'notice:' .. job_id
end

-- From here on it is owed, whatever becomes of the job.
local function owe_notice(job_id, url, owner, status)
  redis.call('HSET', notice_key(job_id), 'url', url, 'owner', owner, 'status', status, 'ended_at', moment(now()))
  redis.call('ZADD', NOTICES, now(), job_id) -- not rounded: due at once, never in half a millisecond
  redis.call('HINCRBY', OWED, owner, 1)
end

local function forget_notice(job_id)
  local owner = redis.call('HGET', notice_key(job_id), 'owner')
  redis.call('ZREM', NOTICES, job_id)
  if redis.call('DEL', notice_key(job_id)) == 1 and owner and redis.call('HINCRBY', OWED, owner, -1) <= 0 then
    redis.call('HDEL', OWED, owner)
  end
end
