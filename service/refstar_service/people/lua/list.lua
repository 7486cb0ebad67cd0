-- KEYS index
-- ARGV score id most
-- -> {{id, fields}, ...} newest first, of the people before (score, id); then {score, id} to go on from, or {}
-- uses people.records, redis.paging
return read_page(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), function(id)
  return redis.call('HGETALL', person_key(id))
end)
