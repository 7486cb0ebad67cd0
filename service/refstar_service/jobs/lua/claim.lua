-- KEYS line other_line
-- ARGV id owner jobs bytes quota share blobs_here (1: uploads and results take memory of this Redis) grace
--   uploads results seconds
-- -> {outcomes of those that made room}, then, if there is none, {what, how much there is, how much there may be, how
--    much is the owner's, seconds until there is room}; else it is now kept free for `seconds`
-- uses jobs.room
local id, asked, evicted = ARGV[1], tonumber(ARGV[9]) + tonumber(ARGV[10]), {}
-- Without it: this very call may come again.
let_go(id)
local limits = {
  jobs = tonumber(ARGV[3]),
  bytes = tonumber(ARGV[4]),
  quota = tonumber(ARGV[5]),
  share = tonumber(ARGV[6]),
  blobs_here = tonumber(ARGV[7]),
  grace = tonumber(ARGV[8]),
}
local shortage = find_shortage(KEYS, ARGV[2], limits, asked, evicted)
if shortage then
  return {evicted, shortage}
end
hold(id, ARGV[2], 'uploads', asked, asked, now() + tonumber(ARGV[11]))
return {evicted}
