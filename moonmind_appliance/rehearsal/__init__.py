"""A full dress rehearsal without accounts: stand-ins for OpenAI and GitHub, and the command that plays it."""
