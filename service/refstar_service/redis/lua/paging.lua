local LOOKS = 1000 -- so that a rare find cannot hold up everybody else

-- Pages of an index, a sorted set of ids by the microsecond in which they came, newest first.
-- read(id): the fields, none if it is gone (then its place in the index goes too); is_wanted(fields): all if missing.
-- -> {{id, fields}, ...} of those before (score, id), at most `most`; then {score, id} to go on from, or {} at the end
local function read_page(index, score, id, most, read, is_wanted)
  local found, looked = {}, 0
  while true do
    -- Several of one microsecond are in the order of their ids; there are never as many as are read here.
    local rows = redis.call('ZREVRANGEBYSCORE', index, score, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
    local fresh = false
    for i = 1, #rows, 2 do
      if #found == most or looked == LOOKS then
        return {found, {score, id}}
      end
      local own, own_score = rows[i], rows[i + 1]
      if own_score ~= score or own < id then
        fresh, looked, score, id = true, looked + 1, own_score, own
        local fields = read(own)
        if #fields == 0 then
          redis.call('ZREM', index, own)
        elseif not is_wanted or is_wanted(fields) then
          found[#found + 1] = {own, fields}
        end
      end
    end
    if not fresh then
      return {found, {}}
    end
  end
end
