-- Workers that wait for work. Who finds none puts itself down under the models that it has, and is called on a list of its
-- own: a job is for one of them. On a list that they all share, Redis would look at each of them for every job.
-- uses redis.keys, redis.clock
local KEPT = 10000 -- milliseconds: nobody waits for so long without looking again
local ANY = PREFIX .. 'idle' -- of those that take every job

-- A job without a model is for everybody: all put themselves down under '' too.
local function idle_key(model)
  return PREFIX .. 'idle:' .. model
end

local function call_key(worker)
  return PREFIX .. 'call:' .. worker
end

-- `models`: nil for a worker that takes every job.
local function idle_keys(models)
  local keys = {models and idle_key('') or ANY}
  for _, model in ipairs(models or {}) do
    keys[#keys + 1] = idle_key(model)
  end
  return keys
end

-- The worker waits for so many seconds from now.
local function put_down(worker, models, seconds)
  redis.call('DEL', call_key(worker)) -- it was called before it looked, and found nothing
  for _, key in ipairs(idle_keys(models)) do
    redis.call('ZADD', key, now() + seconds, worker)
    redis.call('PEXPIRE', key, KEPT)
  end
end

local function strike_off(worker, models)
  for _, key in ipairs(idle_keys(models)) do
    redis.call('ZREM', key, worker)
  end
end

-- The next that waits, whose time is over first; nil if nobody does.
local function take_idle(key)
  local worker, till
  repeat
    worker, till = unpack(redis.call('ZPOPMIN', key))
  until not worker or tonumber(till) > now()
  return worker
end

-- For a job that asks for this model. If nobody waits, all are at work, and look when they are done.
local function call_one(model)
  local worker = take_idle(idle_key(model)) or take_idle(ANY)
  if worker then
    redis.call('RPUSH', call_key(worker), '1')
    redis.call('PEXPIRE', call_key(worker), KEPT)
  end
end
