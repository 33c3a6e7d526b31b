"""MoonMind appliance: a specification text in, a draft pull request out, unattended, on one server."""
