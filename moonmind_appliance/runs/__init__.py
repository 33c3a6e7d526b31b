"""What can be done to a run, a verb a file."""
