"""The terminal interface: operate the appliance in a terminal, on the same database and verbs as the API."""
