"""Executes runs: claims them, runs their phases, recovers after a crash, removes what is left behind."""
