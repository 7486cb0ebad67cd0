-- KEYS record
-- ARGV holder patience
-- -> 1 if nobody has taken over from this holder, and nobody does for so many seconds from now; else 0
-- uses redis.clock
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'until', moment(now() + tonumber(ARGV[2])))
return 1
