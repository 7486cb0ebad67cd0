"""Redis for all rooms: the schema of the keys, how Lua is loaded and run, the client, and a private server."""
