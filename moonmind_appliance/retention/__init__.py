"""What is past its retention time, its removal, and the guard of the free disk space."""
