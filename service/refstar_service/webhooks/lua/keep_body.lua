-- KEYS notice
-- ARGV body
-- -> the notice's body: the first that was kept
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSETNX', KEYS[1], 'body', ARGV[1])
end
return redis.call('HGET', KEYS[1], 'body') or ARGV[1]
