"""What can be done to a shard's login, a verb a file."""
