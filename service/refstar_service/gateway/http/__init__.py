"""HTTP as every route needs it: the server, who asks and how often, problems and how answers look."""
