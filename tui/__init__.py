"""The terminal interface: run the appliance from a terminal, on the same database and verbs as the API."""
