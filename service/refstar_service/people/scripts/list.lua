-- KEYS index
-- ARGV score id most prefix_of_people
-- -> {{id, fields}, ...} newest first, of the people before (score, id); then {score, id} to go on from, or {}
local score, id, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = {}
while true do
  local rows = redis.call('ZREVRANGEBYSCORE', KEYS[1], score, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
  local fresh = false
  for i = 1, #rows, 2 do
    if #found == most then
      return {found, {score, id}}
    end
    local own, own_score = rows[i], rows[i + 1]
    if own_score ~= score or own < id then
      fresh, score, id = true, own_score, own
      local fields = redis.call('HGETALL', ARGV[4] .. own)
      if #fields > 0 then
        found[#found + 1] = {own, fields}
      else
        redis.call('ZREM', KEYS[1], own)
      end
    end
  end
  if not fresh then
    return {found, {}}
  end
end
