-- How many bytes of pictures are held for whom, by the id of the job or person that they belong to. Wherever blobs lie,
-- this is what bounds them: claimed before the first byte is written, corrected when a job ends, let go with its blobs.
-- uses redis.keys, redis.clock
local STORED, ENDS, FETCHED = PREFIX .. 'stored', PREFIX .. 'stored:ends', PREFIX .. 'stored:fetched'
local OWNERS, TOTALS = PREFIX .. 'stored:owners', PREFIX .. 'stored:totals'

local function add_to(hash, field, amount)
  redis.call('HINCRBY', hash, field, string.format('%d', amount))
end

-- bytes, those of them that are yet to be written, the owner (nil if nothing is held under this id), and what they are
-- ('uploads', 'results' or 'people'; '' if the version that wrote it did not say).
local function read_holding(id)
  local bytes, promised, owner, kind =
    string.match(redis.call('HGET', STORED, id) or '', '^(%d+) (%d+) (%S*) ?(%a*)$')
  return tonumber(bytes or 0), tonumber(promised or 0), owner, kind
end

local function read_totals()
  local bytes, promised = unpack(redis.call('HMGET', TOTALS, 'bytes', 'promised'))
  return tonumber(bytes or 0), tonumber(promised or 0)
end

local function let_go(id)
  local bytes, promised, owner, kind = read_holding(id)
  if not owner then
    return
  end
  redis.call('HDEL', STORED, id)
  redis.call('ZREM', ENDS, id)
  redis.call('ZREM', FETCHED, id)
  add_to(OWNERS, owner, -bytes)
  if tonumber(redis.call('HGET', OWNERS, owner)) == 0 then
    redis.call('HDEL', OWNERS, owner)
  end
  add_to(TOTALS, 'bytes', -bytes)
  add_to(TOTALS, 'promised', -promised)
  if kind ~= '' then
    add_to(TOTALS, kind, promised - bytes)
  end
  if read_totals() == 0 then
    redis.call('DEL', TOTALS)
  end
end

-- In the place of what was held under this id, until `ends_at` at the latest (seconds since 1970).
local function hold(id, owner, kind, bytes, promised, ends_at)
  let_go(id)
  if bytes > 0 then
    redis.call('HSET', STORED, id, string.format('%d %d %s %s', bytes, promised, owner, kind))
    redis.call('ZADD', ENDS, ends_at, id)
    add_to(OWNERS, owner, bytes)
    add_to(TOTALS, 'bytes', bytes)
    add_to(TOTALS, 'promised', promised)
    add_to(TOTALS, kind, bytes - promised)
    -- When nothing is held any more and nobody comes to see that, all of it goes at the same moment.
    local last = redis.call('ZREVRANGE', ENDS, 0, 0, 'WITHSCORES')[2]
    for _, key in ipairs({STORED, ENDS, FETCHED, OWNERS, TOTALS}) do
      redis.call('PEXPIREAT', key, string.format('%d', math.ceil(last * 1000)))
    end
  end
end

-- What has ended by itself is held no more.
local function drop_lapsed()
  local lapsed
  repeat
    lapsed = redis.call('ZRANGEBYSCORE', ENDS, '-inf', now(), 'LIMIT', 0, 100)
    for _, id in ipairs(lapsed) do
      let_go(id)
    end
  until #lapsed < 100
end

local function read_share(owner)
  return tonumber(redis.call('HGET', OWNERS, owner) or 0)
end

-- In how many seconds so many bytes (of this owner, if one is given) have ended by themselves.
local function find_time_until(needed, owner)
  local rows = redis.call('ZRANGE', ENDS, 0, 999, 'WITHSCORES')
  local last = 0
  for i = 1, #rows, 2 do
    local bytes, _, whose = read_holding(rows[i])
    if not owner or whose == owner then
      needed, last = needed - bytes, tonumber(rows[i + 1])
      if needed <= 0 then
        break
      end
    end
  end
  return math.max(1, math.ceil(last - now()))
end
