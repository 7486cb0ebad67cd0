-- KEYS index
-- ARGV score id most status prefix_of_jobs prefix_of_tombstones
-- -> {{id, fields}, ...} newest first, of the jobs before (score, id), with this status if it is not '';
--    then {score, id} to go on from, or {} if there are no more
local score, id, most, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local LOOKS = 1000  -- so that a rare status cannot hold up everybody else

local function status_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'status' then
      return fields[i + 1]
    end
  end
end

local found, looked = {}, 0
while true do
  -- Several of one microsecond are in the order of their ids; there are never as many as are read here.
  local rows = redis.call('ZREVRANGEBYSCORE', KEYS[1], score, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
  local fresh = false
  for i = 1, #rows, 2 do
    if #found == most or looked == LOOKS then
      return {found, {score, id}}
    end
    local own, own_score = rows[i], rows[i + 1]
    if own_score ~= score or own < id then
      fresh, looked, score, id = true, looked + 1, own_score, own
      local fields = read(ARGV[5] .. own, ARGV[6] .. own)
      if #fields == 0 then
        redis.call('ZREM', KEYS[1], own)
      elseif wanted == '' or status_of(fields) == wanted then
        found[#found + 1] = {own, fields}
      end
    end
  end
  if not fresh then
    return {found, {}}
  end
end
