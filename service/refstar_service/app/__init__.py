"""The entry points: what puts the rooms together into processes and commands. Nothing else imports it."""
