"""The adapter to Keycloak: verifies callers' access tokens, and logs the command line in by the device grant.

Nothing is imported here: `runs list` only needs to know whether there is a saved login, which takes no JWT library.
"""
