-- KEYS counter
-- Not below zero, and not into a window that has begun since with nothing taken.
if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then
  redis.call('DECR', KEYS[1])
end
