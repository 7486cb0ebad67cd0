"""The HTTP edge: `app.create_app` makes it, `server.GatewayServer` serves it. Only the command line imports it."""
