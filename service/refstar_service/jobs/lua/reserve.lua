-- KEYS the two lines, the one to prefer first
-- ARGV group consumer n stale_ms
--   models (JSON list of those that this worker has; '' if it takes any job)
--   others (JSON list of those that other workers have; '' if that is not known, so that any may be somebody's)
--   seconds for which it waits if there is nothing (0 if it does not)
-- -> {index of line, entry, id, attempts before, model that the entry asks for}, ...
-- uses jobs.record, jobs.line, jobs.turns, jobs.idle
local group, consumer, n, stale = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local models, others = ARGV[5] ~= '' and cjson.decode(ARGV[5]), ARGV[6] ~= '' and cjson.decode(ARGV[6])
local taken, retried = {}, nil

local function contains(list, name)
  for _, one in ipairs(list) do
    if one == name then
      return true
    end
  end
  return false
end

-- Whether a job is not for a worker that has another model ('' if any will do). One whose model nobody has is for
-- whoever finds it.
local function is_for_us(model)
  return not models or model == '' or contains(models, model) or others and not contains(others, model)
end

for index, line in ipairs(KEYS) do
  local cursor = '0-0'
  while #taken < n do
    local reply = redis.call('XAUTOCLAIM', line, group, consumer, stale, cursor, 'COUNT', n - #taken)
    for _, entry in ipairs(reply[2]) do
      -- Redis 6.2 answers a nil for an entry that somebody deleted by hand.
      if entry and not is_for_us(entry_field(entry, 'model')) then
        hand_over(line, group, entry[1], consumer)
      elseif entry then
        local id = entry_field(entry, 'job')
        local attempts = tonumber(redis.call('HGET', job_key(id), 'attempts') or 0) or 0
        taken[#taken + 1] = {index, entry[1], id, attempts, entry_field(entry, 'model')}
        if attempts > 0 and not retried then
          retried = taken[#taken]
        end
      end
    end
    cursor = reply[1]
    if cursor == '0-0' then
      break
    end
  end
end

-- What was begun and not ended may have killed its worker: it runs alone, the others wait for the next call.
if retried then
  for _, other in ipairs(taken) do
    if other ~= retried then
      hand_over(KEYS[other[1]], group, other[2], consumer)
    end
  end
  strike_off(consumer, models or nil)
  return {retried}
end

for index, line in ipairs(KEYS) do
  for _, entry in ipairs(take_turns(line, group, consumer, n - #taken, is_for_us)) do
    taken[#taken + 1] = {index, entry[1], entry_field(entry, 'job'), 0, entry_field(entry, 'model')}
  end
end

if #taken == 0 and tonumber(ARGV[7]) > 0 then
  put_down(consumer, models or nil, tonumber(ARGV[7]))
else
  strike_off(consumer, models or nil)
end
return taken
