"""``refstar restore``: pictures from disk to disk, with the steps of the worker and without a server."""
