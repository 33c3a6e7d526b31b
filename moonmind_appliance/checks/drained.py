"""Check that the appliance starts runs: an operator may have drained it and forgotten that."""

from moonmind_appliance.checks.finding import Finding, ok, wrong
from moonmind_appliance.resources import Resources


def drained(resources: Resources) -> Finding:
    """Check that no operator has drained the appliance."""
    since = resources.store.drain.since()
    if since is None:
        return ok("drain", "Not drained.")
    observed = f"Drained since {since:%Y-%m-%d %H:%M} UTC: runs are accepted, and wait."
    return wrong("drain", observed, "moonmind-appliance resume")
