"""What is past its retention time, how it is removed, and the check of the free disk space."""
