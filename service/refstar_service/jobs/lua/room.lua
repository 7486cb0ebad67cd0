-- Whether there is room for one more job.
-- uses jobs.line

-- How much is asked for beyond what there is room for, as {what, how much there is, how much there may be}; else nil.
-- `limits`: jobs, bytes (0: any), share of Redis's memory (0: any) and blobs_here (1: all bytes are in it). Claims are of
-- those who write their bytes just now.
local function find_shortage(lines, claims, limits, uploads, results)
  local depth, held, promised = 0, 0, 0
  for _, line in ipairs(lines) do
    depth = depth + redis.call('XLEN', line)
    local written, expected = unpack(redis.call('HMGET', bytes_key(line), 'uploads', 'results'))
    held = held + (written or 0) + (expected or 0)
    promised = promised + (expected or 0)
  end
  if depth >= limits.jobs then
    return {'jobs', depth, limits.jobs}
  end
  local asked = uploads + results
  for _, claim in ipairs(redis.call('ZRANGE', claims, 0, -1)) do
    asked = asked + string.match(claim, '^%d+')
  end
  if limits.bytes > 0 and held + asked > limits.bytes then
    return {'bytes', held, limits.bytes}
  end
  if limits.share > 0 then
    local memory = redis.call('INFO', 'memory')
    local function read_figure(name)
      local _, before = string.find(memory, '\n' .. name .. ':', 1, true) -- a pattern would take as long as all else
      return tonumber(before and string.match(memory, '^%d+', before + 1) or 0)
    end
    -- What the server itself does not hold against maxmemory: buffers of its replicas and of its file.
    local used = read_figure('used_memory') - read_figure('mem_not_counted_for_evict')
    local most = math.floor(limits.share * read_figure('maxmemory'))
    -- An allocator rounds up, by a quarter at the most.
    promised, asked = promised * limits.blobs_here * 1.25, asked * limits.blobs_here * 1.25
    if most > 0 and used + promised + asked > most then
      return {'memory', math.floor(used + promised), most}
    end
  end
  return nil
end
