"""Limits for callers that are checked for each submission, and never reached: for benches and fault schedules."""

WIDE_LIMITS = dict.fromkeys(("MAX_SUBMISSIONS_PER_MINUTE", "MAX_QUEUED_RUNS_PER_USER", "MAX_QUEUED_RUNS"), "1000000")
