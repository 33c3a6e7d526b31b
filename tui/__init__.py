"""The terminal interface: attaches to the same database as `serve`, on the same verbs and read models as the API."""
