-- KEYS record
-- ARGV holder outcome ttl_ms
-- Of what may or may not have been made, the id stays: whoever asks for the same again goes on with it.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return
end
if ARGV[2] == 'made' then
  redis.call('HSET', KEYS[1], 'done', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'unknown' then
  redis.call('HDEL', KEYS[1], 'holder')
else
  redis.call('DEL', KEYS[1])
end
