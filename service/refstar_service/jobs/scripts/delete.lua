-- KEYS job gone
-- ARGV id channel prefix_of_indexes
-- -> the job's last fields; its entry stays until a worker drops it
local fields = read(KEYS[1], KEYS[2])
if #fields > 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  for i = 1, #fields, 2 do
    if fields[i] == 'owner' then
      redis.call('ZREM', ARGV[3] .. fields[i + 1], ARGV[1])
    end
  end
  redis.call('PUBLISH', ARGV[2], '0 deleted ' .. ARGV[1])
end
return fields
