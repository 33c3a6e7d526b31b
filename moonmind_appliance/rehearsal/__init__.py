"""A complete run without accounts: stand-ins for OpenAI and GitHub, and the code that runs scenarios on them."""
