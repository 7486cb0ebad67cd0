-- KEYS notices
-- ARGV n lease_seconds lease places_of_an_owner defer_seconds most_looked_at k, for each of k owners: owner places_left,
--   then for each notice that was deferred to whoever asks: id due
-- -> {per notice {id, url, owner, status, ended_at, attempts, body, lease}, per deferred one {id, owner, due},
--   1 if more may be due}
-- A notice of an owner without a place is deferred, not taken: to take it only to put it back would be to look at all
-- that this owner is owed again and again. `due` is as long as nobody else has looked at it.
-- uses webhooks.notices, redis.clock, redis.memory
local most, places = tonumber(ARGV[1]), tonumber(ARGV[4])
local time, left, taken, deferred = now(), {}, {}, {}
-- What is owed is delivered all the same, which frees memory.
write_even_when_full(OWED)

local function look_at(id)
  local notice = notice_key(id)
  local owner = redis.call('HGET', notice, 'owner')
  if not owner then
    redis.call('ZREM', NOTICES, id)
    return
  end
  local room = left[owner] or places
  if room == 0 then
    local due = string.format('%.17g', time + tonumber(ARGV[5]))
    redis.call('ZADD', NOTICES, due, id)
    deferred[#deferred + 1] = {id, owner, due}
    return
  end
  left[owner] = room - 1
  redis.call('ZADD', NOTICES, time + tonumber(ARGV[2]), id)
  redis.call('HSET', notice, 'lease', ARGV[3])
  local fields = redis.call('HMGET', notice, 'url', 'owner', 'status', 'ended_at', 'attempts', 'body', 'lease')
  table.insert(fields, 1, id)
  taken[#taken + 1] = fields
end

local at = 8
for _ = 1, tonumber(ARGV[7]) do
  left[ARGV[at]] = tonumber(ARGV[at + 1])
  at = at + 2
end
-- They have waited for longer than any that is due.
while ARGV[at] and #taken < most do
  if tonumber(redis.call('ZSCORE', NOTICES, ARGV[at]) or 0) == tonumber(ARGV[at + 1]) then
    look_at(ARGV[at])
  end
  at = at + 2
end
local due = redis.call('ZRANGEBYSCORE', NOTICES, '-inf', time, 'LIMIT', 0, ARGV[6])
for _, id in ipairs(due) do
  if #taken == most then
    break
  end
  look_at(id)
end
return {taken, deferred, #due == tonumber(ARGV[6]) and 1 or 0}
