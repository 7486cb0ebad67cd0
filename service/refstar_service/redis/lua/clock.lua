-- Seconds since 1970.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

-- Microseconds since 1970, exactly.
local function now_microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- As moments are stored.
local function moment(seconds)
  return string.format('%.3f', seconds)
end

-- As PEXPIRE and PX want them.
local function milliseconds(seconds)
  return math.max(1, math.ceil(seconds * 1000))
end
