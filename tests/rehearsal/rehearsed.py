"""Runs a scenario, and lists what rehearsals left on the engine."""

import json

from moonmind_appliance import settings
from moonmind_appliance.models import LABEL_APPLIANCE
from moonmind_appliance.rehearsal.leftovers import network_name, volume_prefix
from moonmind_appliance.rehearsal.prepare import RehearsalOptions
from moonmind_appliance.rehearsal.rehearse import rehearse
from tests.journeys.conftest import docker

_LISTINGS = ((("ps", "--all"), "{{.Names}}"), (("volume", "ls"), "{{.Name}}"), (("network", "ls"), "{{.Name}}"))


def appliances_of(environment_id):
    """The ids of the appliances whose volumes belong to that rehearsal."""
    names = [name for name in docker("volume", "ls", "-q").split() if name.startswith(volume_prefix(environment_id))]
    volumes = json.loads(docker("volume", "inspect", *names)) if names else []
    return {volume["Labels"][LABEL_APPLIANCE] for volume in volumes}


def leftovers(environment_ids, appliance_ids=()):
    """The names of containers, volumes and networks of these rehearsals; other rehearsals may run at the same time."""
    own = [part for each in environment_ids for part in (network_name(each), volume_prefix(each))]
    found = set()
    for listing, name in _LISTINGS:
        found |= {each for each in docker(*listing, "--format", name).split() if each.startswith(tuple(own))}
        for appliance in appliance_ids if listing[0] != "network" else ():
            found |= set(docker(*listing, "--format", name, "--filter", f"label={LABEL_APPLIANCE}={appliance}").split())
    return found


def run_scenario(scenario, **options):
    steps = []
    report = rehearse(BASE, RehearsalOptions(scenario=scenario, think_seconds=0, **options), steps.append)
    return report, steps


BASE = settings.load({}).settings
