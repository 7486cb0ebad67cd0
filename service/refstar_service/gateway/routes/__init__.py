"""The addresses of the API, one router per module. Routers do not import each other."""
