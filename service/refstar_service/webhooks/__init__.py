"""Word to other people's servers that a job has ended: signed, retried for days, and never to a place inside."""
