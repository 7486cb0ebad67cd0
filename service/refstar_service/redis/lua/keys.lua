-- What all keys begin with; each room adds the names of its own (redis/keys.py).
-- Nothing passes the prefix: it is the one that the first of the script's own keys has.
local PREFIX = string.match(KEYS[1], '^{[^}]*}:')
