"""Executes runs: claims them, runs their phases, recovers after a crash, removes leftover containers and volumes."""
