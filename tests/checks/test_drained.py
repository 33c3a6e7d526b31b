"""The check for a forgotten drain."""

from moonmind_appliance.checks import Level, Readiness, run_checks
from moonmind_appliance.checks.drained import drained
from tests.appliance_under_test import ApplianceUnderTest


def test_a_drained_appliance(appliance: ApplianceUnderTest) -> None:
    """It is a problem, with the time and the command that ends it; `/ready` sees a change at once."""
    resources = appliance.resources
    readiness = Readiness(resources, dict)
    assert drained(resources).level is Level.OK
    assert readiness.now()["drain"].level is Level.OK
    resources.store.drain.begin(appliance.clock())
    assert readiness.now()["drain"].level is Level.WRONG
    finding = drained(resources)
    assert finding.observed == "Drained since 2026-03-01 12:00 UTC: runs are accepted, and wait."
    assert finding.to_do == "moonmind-appliance resume"


def test_doctor_reports_only_a_problem(appliance: ApplianceUnderTest) -> None:
    """Nothing else than an operator's command can cause it."""

    def of_drain() -> list[Level]:
        found = run_checks(appliance.resources.settings, appliance.resources, offline=True)
        return [finding.level for finding in found if finding.check == "drain"]

    assert of_drain() == []
    appliance.resources.store.drain.begin(appliance.clock())
    assert of_drain() == [Level.WRONG]
