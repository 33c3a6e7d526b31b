"""Checks of what a run needs: one set of checks for `doctor`, `/ready` and the TUI."""

from moonmind_appliance.checks.finding import Finding, Level
from moonmind_appliance.checks.readiness import Readiness, readiness
from moonmind_appliance.checks.run_checks import run_checks, setting_problems
from moonmind_appliance.checks.service import ServeState, serve_state

__all__ = [
    "Finding",
    "Level",
    "Readiness",
    "ServeState",
    "readiness",
    "run_checks",
    "serve_state",
    "setting_problems",
]
