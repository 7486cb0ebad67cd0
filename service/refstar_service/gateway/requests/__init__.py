"""From what a client sends to a job: forms, their options, and what is checked before anything is stored or queued."""
