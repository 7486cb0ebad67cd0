"""What restores a picture, without a queue and without HTTP: the steps from bytes to bytes, and their rules."""
