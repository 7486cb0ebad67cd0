-- Wakes one of the workers that wait for work, the one that has waited longest: each is blocked on the lists of its models.
-- A stream would wake them all for each job, and a thousand idle workers would ask for the same one.
local AT_MOST = 100 -- elements that nobody has waited for
local KEPT = 10000 -- milliseconds; every worker looks for itself much more often than that

local function wake_one(list)
  if redis.call('LLEN', list) < AT_MOST then
    redis.call('RPUSH', list, '1')
    redis.call('PEXPIRE', list, KEPT)
  end
end
