-- KEYS index
-- ARGV score id most status
-- -> {{id, fields}, ...} newest first, of the jobs before (score, id), with this status if it is not '';
--    then {score, id} to go on from, or {} if there are no more
-- uses jobs.record, redis.paging
local wanted = ARGV[4]

local function has_wanted_status(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'status' then
      return fields[i + 1] == wanted
    end
  end
end

return read_page(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), read_job, wanted ~= '' and has_wanted_status)
