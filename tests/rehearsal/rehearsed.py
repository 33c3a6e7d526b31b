"""Runs a scenario, and lists what is left of it."""

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.prepare import RehearsalOptions
from moonmind_appliance.rehearsal.rehearse import rehearse
from tests.journeys.conftest import docker


def leftovers():
    """The names of objects on the engine that belong to rehearsals."""
    listings = (("ps", "--all", "--format", "{{.Names}}"), ("volume", "ls", "--format", "{{.Name}}"))
    names = [name for arguments in listings for name in docker(*arguments).split()]
    names += docker("network", "ls", "--format", "{{.Name}}").split()
    return {name for name in names if "rehearsal" in name}


def run_scenario(scenario, **options):
    steps = []
    report = rehearse(BASE, RehearsalOptions(scenario=scenario, think_seconds=0, **options), steps.append)
    return report, steps


BASE = settings.load({}).settings
