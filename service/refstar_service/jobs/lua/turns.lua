-- Whose turn it is. All jobs of a priority are in one stream, which every version of the service can read. Over it, each
-- owner has a line of their own, and owners take turns: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).
-- Every owner has a time, which a job moves on by 1 when it is taken and by 1 more for each further face that went through
-- the model when it has ended, however it did: faces are what takes long, and nobody knows how many there are before they
-- are looked for. The owner with the least time is next. The clock is the time of who was next last: whoever joins begins
-- there, so nobody saves up turns, and the job of somebody who comes first goes before the thousand of somebody who is
-- there.
-- uses jobs.record, jobs.line
local CHUNK = 100

local function turns_key(line) -- owners of jobs that wait
  return line .. ':turns'
end

local function spent_key(line) -- owners of none that waits, who are ahead of the clock
  return line .. ':spent'
end

local function state_key(line)
  return line .. ':state'
end

local function owner_key(line, owner)
  return line .. ':of:' .. owner
end

local function read_clock(line)
  return tonumber(redis.call('HGET', state_key(line), 'clock') or 0)
end

-- Puts what was added to the stream since the last time, by whichever version, into the lines of its owners.
local function sort_in(line)
  local last = redis.call('HGET', state_key(line), 'sorted')
  local clock, entries
  repeat
    entries = redis.call('XRANGE', line, last and '(' .. last or '-', '+', 'COUNT', CHUNK)
    for _, entry in ipairs(entries) do
      local owner = redis.call('HGET', job_key(entry_field(entry, 'job')), 'owner') or ''
      redis.call('ZADD', owner_key(line, owner), entry_number(entry), entry[1] .. ' ' .. entry_field(entry, 'model'))
      if not redis.call('ZSCORE', turns_key(line), owner) then
        clock = clock or read_clock(line)
        local time = math.max(clock, tonumber(redis.call('ZSCORE', spent_key(line), owner) or 0))
        redis.call('ZREM', spent_key(line), owner)
        redis.call('ZADD', turns_key(line), time, owner)
      end
      last = entry[1]
    end
  until #entries < CHUNK
  if last then
    redis.call('HSET', state_key(line), 'sorted', last)
  end
end

-- The first in an owner's line whose model fits; nil if there is none.
local function find_member(key, fits)
  local start, members = 0, nil
  repeat
    members = redis.call('ZRANGE', key, start, start + CHUNK - 1)
    for _, member in ipairs(members) do
      if fits(string.match(member, ' (.*)$')) then
        return member
      end
    end
    start = start + CHUNK
  until #members < CHUNK
end

-- The owner's time after a job of theirs was taken, or none was; without a job that waits, they leave.
local function pass_turn(line, owner, time, taken)
  if taken then
    redis.call('HSET', state_key(line), 'clock', math.max(read_clock(line), time))
    time = time + 1
  end
  if redis.call('EXISTS', owner_key(line, owner)) == 1 then
    redis.call('ZADD', turns_key(line), time, owner)
  else
    redis.call('ZREM', turns_key(line), owner)
    redis.call('ZADD', spent_key(line), time, owner)
  end
end

-- Who needs not be remembered: nobody waits, so nobody was kept waiting; or the clock has come to their time.
local function forget_spent(line)
  if redis.call('EXISTS', turns_key(line)) == 0 then
    redis.call('DEL', spent_key(line))
  else
    redis.call('ZREMRANGEBYSCORE', spent_key(line), '-inf', read_clock(line))
  end
end

-- Up to `n` entries whose models fit, in turn, held by this consumer from now on.
local function take_turns(line, group, consumer, n, fits)
  local taken, passed = {}, 0
  sort_in(line)
  while #taken < n do
    local owner, time = unpack(redis.call('ZRANGE', turns_key(line), passed, passed, 'WITHSCORES'))
    if not owner then
      break
    end
    local key = owner_key(line, owner)
    local member = find_member(key, fits)
    if member then
      redis.call('ZREM', key, member)
      local id, entry = string.match(member, '^%S+'), nil
      -- Older workers read the stream itself: this one may be held by one of them, or done with.
      if #redis.call('XPENDING', line, group, id, id, 1) == 0 then
        entry = redis.call('XCLAIM', line, group, consumer, 0, id, 'FORCE')[1]
      end
      taken[#taken + 1] = entry or nil
      pass_turn(line, owner, tonumber(time), entry)
    else
      passed = passed + 1
    end
  end
  forget_spent(line)
  return taken
end

-- The entry of a job that has ended while it waited goes, and its place in its owner's line. False if there is none, or a
-- worker holds it: that one drops it.
local function withdraw(line, group, entry, owner)
  local row = entry and redis.call('XRANGE', line, entry, entry)[1]
  if not row or is_anyones(line, group, entry) then
    return false
  end
  redis.call('XDEL', line, entry)
  -- It has no place yet if an older gateway added it, and nobody has looked since.
  if redis.call('ZREM', owner_key(line, owner), entry .. ' ' .. entry_field(row, 'model')) == 1 then
    pass_turn(line, owner, tonumber(redis.call('ZSCORE', turns_key(line), owner) or 0))
    forget_spent(line)
  end
  return true
end

-- The entry of a job that has ended goes, and its owner is charged with so many faces: the first was when it was taken.
local function end_turn(line, group, entry, owner, faces)
  local more = faces - 1
  if not drop_entry(line, group, entry) or more <= 0 then
    return
  end
  if redis.call('ZSCORE', turns_key(line), owner) then
    redis.call('ZINCRBY', turns_key(line), more, owner)
  else
    local time = tonumber(redis.call('ZSCORE', spent_key(line), owner) or 0)
    redis.call('ZADD', spent_key(line), math.max(read_clock(line), time) + more, owner)
  end
end

-- Owners who wait, as {owner, time, how many of their jobs}.
local function list_turns(line)
  local rows, turns = redis.call('ZRANGE', turns_key(line), 0, -1, 'WITHSCORES'), {}
  for i = 1, #rows, 2 do
    turns[#turns + 1] = {rows[i], tonumber(rows[i + 1]), redis.call('ZCARD', owner_key(line, rows[i]))}
  end
  return turns
end
