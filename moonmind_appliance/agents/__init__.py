"""Adapters to the coding agents."""
