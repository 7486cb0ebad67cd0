-- uses redis.keys
local function person_key(id)
  return PREFIX .. 'person:' .. id
end

local function people_key(owner)
  return PREFIX .. 'people:' .. owner
end
