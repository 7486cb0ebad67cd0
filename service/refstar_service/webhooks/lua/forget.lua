-- KEYS notice
-- ARGV id
-- Whoever delivered it may forget it, also if it took so long that somebody else has the lease.
-- uses webhooks.notices
forget_notice(ARGV[1])
