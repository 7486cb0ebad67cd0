-- Whether there is room for one more job, and what makes room.
-- uses jobs.line, jobs.record, blobs.ledger

-- Results that were fetched longest ago expire before their time, as many as there are bytes needed. Adds their
-- outcomes, which name the blobs, to `evicted`. `owner`: only theirs.
local function make_room(needed, owner, grace, evicted)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', FETCHED, '-inf', now() - grace, 'LIMIT', 0, 1000)) do
    if needed <= 0 then
      return
    end
    local bytes, _, whose = read_holding(id)
    if not owner or whose == owner then
      evicted[#evicted + 1] = expire_job(id)
      let_go(id)
      needed = needed - bytes
    end
  end
end

-- What an older version, or a worker that died, did not settle: their jobs have ended.
local function settle_ended()
  for _, id in ipairs(redis.call('ZRANGE', ENDS, 0, 999)) do
    local _, promised = read_holding(id)
    local status = promised > 0 and job_status(id)
    if status and not is_unfinished(status) then
      let_go(id)
    end
  end
end

-- By how many bytes `asked` is too much for this owner, and which limit says so: all there is, their quota, or their
-- share. A key may hold more as long as more is left than it holds, so whoever comes next finds room; in open mode all
-- is one person's.
local function find_excess(owner, asked, limits)
  local total, own = read_totals(), read_share(owner)
  if limits.quota > 0 and own + asked > limits.quota then
    return own + asked - limits.quota, 'quota'
  end
  if limits.bytes > 0 and total + asked > limits.bytes then
    return total + asked - limits.bytes, 'bytes'
  end
  if limits.bytes > 0 and owner ~= '' and own + asked > limits.bytes - total - asked then
    return own + asked - (limits.bytes - total - asked), 'share'
  end
end

-- How much is asked for beyond what there is room for, as {what, how much there is, how much there may be, how much of
-- it is the owner's, seconds until there is room}; else nil.
-- `limits`: jobs, bytes and quota (0: any), share of Redis's memory (0: any), blobs_here (1: all bytes are in it) and
-- grace, the seconds that a fetched result stays. `asked`: bytes.
local function find_shortage(lines, owner, limits, asked, evicted)
  local depth = 0
  for _, line in ipairs(lines) do
    depth = depth + redis.call('XLEN', line)
  end
  if depth >= limits.jobs then
    return {'jobs', depth, limits.jobs, 0, 5}
  end
  drop_lapsed()
  local excess, what = find_excess(owner, asked, limits)
  if excess then
    settle_ended()
    make_room(excess, what ~= 'bytes' and owner or nil, limits.grace, evicted)
    excess, what = find_excess(owner, asked, limits)
  end
  if excess then
    local total, promised = read_totals()
    local own = read_share(owner)
    -- What unfinished jobs may come to need is mostly given back when they end.
    local seconds = promised > excess and 15 or find_time_until(excess, what ~= 'bytes' and owner or nil)
    if what == 'quota' then
      return {what, own, limits.quota, own, seconds}
    end
    return {what, total, limits.bytes, own, seconds}
  end
  if limits.share > 0 then
    local memory = redis.call('INFO', 'memory')
    local function read_figure(name)
      local _, before = string.find(memory, '\n' .. name .. ':', 1, true) -- a pattern would take as long as all else
      return tonumber(before and string.match(memory, '^%d+', before + 1) or 0)
    end
    -- What the server itself does not hold against maxmemory: buffers of its replicas and of its file.
    local used = read_figure('used_memory') - read_figure('mem_not_counted_for_evict')
    local most = math.floor(limits.share * read_figure('maxmemory'))
    local _, promised = read_totals()
    -- An allocator rounds up, by a quarter at the most.
    promised, asked = promised * limits.blobs_here * 1.25, asked * limits.blobs_here * 1.25
    local beyond = used + promised + asked - most
    if most > 0 and beyond > 0 then
      make_room(limits.blobs_here * beyond, nil, limits.grace, evicted) -- freed in the background, so for the next one
      local seconds = promised > beyond and 15 or find_time_until(limits.blobs_here * beyond)
      return {'memory', math.floor(used + promised), most, read_share(owner), seconds}
    end
  end
  return nil
end
