-- A job's hash and its tombstone, the list of its owner, and the word that goes out of every change.
-- uses redis.keys, redis.clock, webhooks.notices, blobs.ledger
local CHANGES = PREFIX .. 'changes'

local function job_key(id)
  return PREFIX .. 'job:' .. id
end

local function tombstone_key(id)
  return PREFIX .. 'gone:' .. id
end

local function jobs_key(owner)
  return PREFIX .. 'jobs:' .. owner
end

-- nil (false) for a job that is not there.
local function job_status(id)
  return redis.call('HGET', job_key(id), 'status')
end

local function is_unfinished(status)
  return status == 'queued' or status == 'running'
end

-- Whether an entry of a line stands for work: not if the job is terminal, gone, or gone and its id submitted again.
local function stands_for_work(entry, status, own_entry)
  return entry == own_entry and is_unfinished(status)
end

-- What a tombstone remembers: one small string, since there may be a day's worth of them. The webhook only until the job
-- has ended: from then on its notice is owed.
local REMEMBERED = {'schema', 'priority', 'owner', 'outline', 'attempts', 'created_at', 'started_at', 'finished_at',
  'expires_at', 'webhook'}

-- Every change ends here: these fields (name, value, ...), a new version, the tombstone beside it, and word of it on
-- the channel. With `ttl` the job stays readable for that many seconds from now, and the tombstone for `memory` more.
-- All in one HSET: the append-only file gets every command of a script for itself.
-- Returns the version, and when the job ends to be readable (seconds since 1970).
local function commit_change(id, changes, ttl, memory)
  local job, tombstone = job_key(id), tombstone_key(id)
  local values = redis.call('HMGET', job, 'version', 'status', unpack(REMEMBERED))
  local fields = {version = values[1] or 0, status = values[2]}
  for i, field in ipairs(REMEMBERED) do
    fields[field] = values[i + 2] or nil
  end
  if ttl then
    changes[#changes + 1] = 'expires_at'
    changes[#changes + 1] = moment(now() + tonumber(ttl))
  end
  local version = string.format('%d', fields.version + 1)
  changes[#changes + 1] = 'version'
  changes[#changes + 1] = version
  for i = 1, #changes, 2 do
    fields[changes[i]] = changes[i + 1]
  end
  redis.call('HSET', job, unpack(changes))

  local left = {status = 'expired', version = string.format('%d', version + 1)}
  for _, field in ipairs(REMEMBERED) do
    left[field == 'outline' and 'request' or field] = fields[field]
  end
  if left.finished_at then
    left.webhook = nil
  end
  if ttl then
    redis.call('PEXPIRE', job, milliseconds(tonumber(ttl)))
    redis.call('SET', tombstone, cjson.encode(left), 'PX', milliseconds(ttl + memory))
  else
    redis.call('SET', tombstone, cjson.encode(left), 'KEEPTTL')
  end
  redis.call('PUBLISH', CHANGES, version .. ' ' .. fields.status .. ' ' .. id)
  return version, fields.expires_at
end

-- `changes`: what else is recorded of it. `kept`: bytes of its results, which are held for `ttl` seconds; 'as_it_is' if
-- others see to that.
local function end_job(id, status, changes, ttl, memory, kept)
  local job = job_key(id)
  if status == 'canceled' then
    redis.call('HDEL', job, 'canceling')
  end
  changes[#changes + 1] = 'status'
  changes[#changes + 1] = status
  changes[#changes + 1] = 'finished_at'
  changes[#changes + 1] = moment(now())
  local url, owner = unpack(redis.call('HMGET', job, 'webhook', 'owner'))
  if url then
    owe_notice(id, url, owner, status)
  end
  if kept ~= 'as_it_is' then
    hold(id, owner or '', 'results', tonumber(kept or 0), 0, now() + tonumber(ttl))
  end
  commit_change(id, changes, ttl, memory)
end

-- Before its time: what it was is forgotten, but for its tombstone. Returns its outcome, '' if it had none.
local function expire_job(id)
  local outcome, version = unpack(redis.call('HMGET', job_key(id), 'outcome', 'version'))
  redis.call('DEL', job_key(id))
  redis.call('PUBLISH', CHANGES, string.format('%d expired %s', (version or 0) + 1, id))
  return outcome or ''
end

-- One that cannot be read is as good as none, and no reason to show nothing of all the others.
local function read_tombstone(id)
  local readable, left = pcall(cjson.decode, redis.call('GET', tombstone_key(id)) or '{}')
  return readable and type(left) == 'table' and left or {}
end

-- For whoever comes to the entry of a job that is not there: if its time was over before it ended, that is its outcome,
-- and its owner is told. One that was deleted has no tombstone.
local function end_overdue(id)
  local left = read_tombstone(id)
  if left.status and not left.finished_at and not job_status(id) then
    if left.webhook then
      owe_notice(id, left.webhook, left.owner or '', 'expired')
      left.webhook = nil
    end
    left.finished_at, left.overdue = moment(now()), '1'
    left.version = string.format('%d', (left.version or 0) + 1)
    redis.call('SET', tombstone_key(id), cjson.encode(left), 'KEEPTTL')
    let_go(id)
    redis.call('PUBLISH', CHANGES, left.version .. ' expired ' .. id)
  end
end

-- The job's fields, else its tombstone's; none if it was never there, deleted or forgotten.
local function read_job(id)
  local fields = redis.call('HGETALL', job_key(id))
  if #fields == 0 then
    for field, value in pairs(read_tombstone(id)) do
      fields[#fields + 1] = field
      fields[#fields + 1] = tostring(value)
    end
  end
  return fields
end

-- Add it to the list of an owner's jobs. Of the oldest two there, those that are forgotten go, so the list stays as
-- long as there are jobs to list; when no new ones come it goes as a whole after `lifetime`.
local function list_job(index, id, lifetime)
  redis.call('ZADD', index, now_microseconds(), id)
  redis.call('PEXPIRE', index, milliseconds(tonumber(lifetime)))
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
    if redis.call('EXISTS', job_key(oldest), tombstone_key(oldest)) == 0 then
      redis.call('ZREM', index, oldest)
    end
  end
end
