"""Containers: the adapter to Docker, and a fake with the same contract."""
