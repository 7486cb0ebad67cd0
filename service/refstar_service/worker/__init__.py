"""The process that restores: takes jobs from the queue, runs models, stores results."""
