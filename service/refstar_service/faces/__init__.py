"""Faces in a picture: where they stand and how they are cut out. Knows nothing of jobs or HTTP."""
