"""Agents: what does the thinking, and how each answers."""
