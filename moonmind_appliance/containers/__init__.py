"""Containers: the door to Docker."""
