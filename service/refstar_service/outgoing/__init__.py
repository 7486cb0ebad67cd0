"""Connections to servers that clients name: to addresses that were checked, within a time, never to a place inside."""
