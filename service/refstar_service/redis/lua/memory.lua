-- With its memory full, Redis refuses the first write of a script if it can grow, but no later one. What ends, moves or
-- deletes must go through all the same, so it begins with a write that cannot grow (here: of nothing).
local function write_even_when_full(hash)
  redis.call('HDEL', hash, 'nothing')
end
