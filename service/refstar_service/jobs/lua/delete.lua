-- KEYS job gone
-- ARGV id
-- -> the job's last fields; its entry stays until a worker drops it
-- uses jobs.record
local id = ARGV[1]
local fields = read_job(id)
if #fields > 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  let_go(id)
  for i = 1, #fields, 2 do
    if fields[i] == 'owner' then
      redis.call('ZREM', jobs_key(fields[i + 1]), id)
    end
  end
  redis.call('PUBLISH', CHANGES, '0 deleted ' .. id)
end
return fields
