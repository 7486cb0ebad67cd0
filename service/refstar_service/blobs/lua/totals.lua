-- KEYS totals
-- -> bytes that are held: {uploads, results, people, promised}
-- uses blobs.ledger
-- With its disk full, Redis refuses every write: then what has lapsed is still in the sums.
pcall(drop_lapsed)
local sums = redis.call('HMGET', KEYS[1], 'uploads', 'results', 'people', 'promised')
for i = 1, 4 do
  sums[i] = tonumber(sums[i] or 0)
end
return sums
