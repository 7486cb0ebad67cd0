"""Folders and manifests of photographs, restored by a service: planned, journaled, run, reported."""
