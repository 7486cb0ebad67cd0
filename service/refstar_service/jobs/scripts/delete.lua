-- KEYS job gone
-- ARGV id channel
-- -> the job's last fields; its entry stays until a worker drops it
local fields = read(KEYS[1], KEYS[2])
if #fields > 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('PUBLISH', ARGV[2], '0 deleted ' .. ARGV[1])
end
return fields
