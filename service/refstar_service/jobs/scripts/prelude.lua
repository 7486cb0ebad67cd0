-- Put in front of every script.

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function moment(seconds)
  return string.format('%.3f', seconds)
end

local function milliseconds(seconds)
  return math.max(1, math.ceil(seconds * 1000))
end

-- Whether this entry stands for work: not if the job is terminal, gone, or gone and its id submitted again.
local function stands(entry, status, own_entry)
  return entry == own_entry and (status == 'queued' or status == 'running')
end

-- With its memory full, Redis refuses the first write of a script if it can grow, but no later one. What ends
-- or moves work must go through all the same, so it begins with a write that cannot grow (here: of nothing).
local function write_even_when_full(job)
  redis.call('HDEL', job, 'nothing')
end

-- What a tombstone remembers: one small string, since there may be a day's worth of them.
local REMEMBERED = {'priority', 'owner', 'outline', 'attempts', 'created_at', 'started_at', 'finished_at', 'expires_at'}

-- Every change ends here: these fields (name, value, ...), a new version, the tombstone beside it, and word of it on
-- the channel. With `ttl` the job stays readable for that many seconds from now, and the tombstone for `memory` more.
-- All in one HSET: the append-only file gets every command of a script for itself.
-- Returns the version, and when the job ends to be readable (seconds since 1970).
local function commit(job, gone, id, channel, changes, ttl, memory)
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
  if ttl then
    redis.call('PEXPIRE', job, milliseconds(tonumber(ttl)))
    redis.call('SET', gone, cjson.encode(left), 'PX', milliseconds(ttl + memory))
  else
    redis.call('SET', gone, cjson.encode(left), 'KEEPTTL')
  end
  redis.call('PUBLISH', channel, version .. ' ' .. fields.status .. ' ' .. id)
  return version, fields.expires_at
end

-- Whoever asked to be called when the job ends: from here on that is owed, whatever becomes of the job.
local function owe_notice(job, id, status)
  local url, owner = unpack(redis.call('HMGET', job, 'webhook', 'owner'))
  if url then
    local prefix = string.sub(job, 1, -#('job:' .. id) - 1)
    local ended_at = moment(now())
    redis.call('HSET', prefix .. 'notice:' .. id, 'url', url, 'owner', owner, 'status', status,
      'ended_at', ended_at)
    redis.call('ZADD', prefix .. 'notices', now(), id)  -- not rounded: due at once, never in half a millisecond
    redis.call('HINCRBY', prefix .. 'notices:owed', owner, 1)
  end
end

-- `changes`: what else is recorded of it.
local function finish(job, gone, id, channel, status, changes, ttl, memory)
  if status == 'canceled' then
    redis.call('HDEL', job, 'canceling')
  end
  changes[#changes + 1] = 'status'
  changes[#changes + 1] = status
  changes[#changes + 1] = 'finished_at'
  changes[#changes + 1] = moment(now())
  owe_notice(job, id, status)
  commit(job, gone, id, channel, changes, ttl, memory)
end

local function read(job, gone)
  local fields = redis.call('HGETALL', job)
  if #fields == 0 then
    for field, value in pairs(cjson.decode(redis.call('GET', gone) or '{}')) do
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  return fields
end

-- The number of a stream's entry, 0 for none. Entries that wait are numbered without gaps, since none of them is ever
-- deleted: so places in a line are differences, and nobody counts. (Older versions wrote no numbers.)
local function number_of(entry)
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'number' then
      return tonumber(entry[2][i + 1])
    end
  end
  return 0
end

-- The model that a stream's entry asks for, '' if any will do.
local function entry_model(entry)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'model' then
      return entry[2][i + 1]
    end
  end
  return ''
end

-- The list of an owner's jobs. It grows by one here, and of its oldest two those that are forgotten go, so it
-- stays as long as there are jobs to list; when no new ones come it goes as a whole after `lifetime`.
local function enlist(index, job, gone, id, lifetime)
  local time = redis.call('TIME')
  redis.call('ZADD', index, time[1] * 1000000 + time[2], id)
  redis.call('PEXPIRE', index, milliseconds(tonumber(lifetime)))
  local jobs, tombstones = string.sub(job, 1, -#id - 1), string.sub(gone, 1, -#id - 1)
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
    if redis.call('EXISTS', jobs .. oldest, tombstones .. oldest) == 0 then
      redis.call('ZREM', index, oldest)
    end
  end
end

-- What admission counts: XLEN is "waiting + held", and the hash beside a line the bytes of those. Both change only in
-- submit and `drop`, each in one step, so neither can drift.
local function bytes_key(line)
  return line .. ':bytes'
end

local function count_bytes(line, uploads, results)
  local key = bytes_key(line)
  redis.call('HINCRBY', key, 'uploads', string.format('%d', uploads)) -- a number may be -0
  redis.call('HINCRBY', key, 'results', string.format('%d', results))
end

local function drop(line, group, entry)
  local found = redis.call('XRANGE', line, entry, entry)[1]
  redis.call('XACK', line, group, entry)
  if redis.call('XDEL', line, entry) == 1 then
    local _, _, _, uploads, _, results = unpack(found[2])
    count_bytes(line, -(uploads or 0), -(results or 0)) -- entries of older versions have none
  end
end

-- How much is asked for beyond what there is room for, as {what, how much there is, how much there may be}.
-- `limits`: jobs, bytes (0: any), share of Redis's memory (0: any) and blobs_here (1: all bytes are in it). Claims are of those who write their bytes just now.
local function refusal(lines, claims, limits, uploads, results)
  local depth, held, promised = 0, 0, 0
  for _, line in ipairs(lines) do
    depth = depth + redis.call('XLEN', line)
    local written, expected = unpack(redis.call('HMGET', bytes_key(line), 'uploads', 'results'))
    held = held + (written or 0) + (expected or 0)
    promised = promised + (expected or 0)
  end
  if depth >= limits.jobs then
    return {'jobs', depth, limits.jobs}
  end
  local asked = uploads + results
  for _, claim in ipairs(redis.call('ZRANGE', claims, 0, -1)) do
    asked = asked + string.match(claim, '^%d+')
  end
  if limits.bytes > 0 and held + asked > limits.bytes then
    return {'bytes', held, limits.bytes}
  end
  if limits.share > 0 then
    local memory = redis.call('INFO', 'memory')
    local function figure(name)
      local _, before = string.find(memory, '\n' .. name .. ':', 1, true) -- a pattern would take as long as all else
      return tonumber(before and string.match(memory, '^%d+', before + 1) or 0)
    end
    -- What the server itself does not hold against maxmemory: buffers of its replicas and of its file.
    local used = figure('used_memory') - figure('mem_not_counted_for_evict')
    local most = math.floor(limits.share * figure('maxmemory'))
    -- An allocator rounds up, by a quarter at the most.
    promised, asked = promised * limits.blobs_here * 1.25, asked * limits.blobs_here * 1.25
    if most > 0 and used + promised + asked > most then
      return {'memory', math.floor(used + promised), most}
    end
  end
  return nil
end

local function is_held(line, group, entry, consumer)
  return #redis.call('XPENDING', line, group, entry, entry, 1, consumer) > 0
end

-- Whoever looks next finds it stale: a day of idleness exceeds every stale time.
local function hand_over(line, group, entry, consumer)
  redis.call('XCLAIM', line, group, consumer, 0, entry, 'IDLE', 86400000, 'RETRYCOUNT', 0, 'JUSTID')
end

-- The group's row of XINFO GROUPS as a table; with the only field `err` if there is no such group.
local function group_status(line, group)
  for _, row in ipairs(redis.pcall('XINFO', 'GROUPS', line)) do
    local status = {}
    for i = 1, #row, 2 do
      status[row[i]] = row[i + 1]
    end
    if status['name'] == group then
      return status
    end
  end
  return redis.error_reply('NOGROUP the consumer group ' .. group .. ' of ' .. line .. ' is missing')
end
