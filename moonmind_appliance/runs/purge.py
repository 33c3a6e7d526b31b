"""Remove what appliances left on the container engine. Objects are found by label, so no database is needed."""

import re
from collections.abc import Iterable

import msgspec

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN, ContainerState


class Belongings(msgspec.Struct, frozen=True, kw_only=True):
    """The objects of one appliance on the engine, by name.

    `workspaces` are the volumes of runs, `caches` those of repositories, `logins` those with a ChatGPT login, `others`
    all further volumes: those of interrupted sign-ins.
    """

    appliance_id: str
    containers: list[str] = []
    running: list[str] = []
    workspaces: list[str] = []
    caches: list[str] = []
    logins: list[str] = []
    others: list[str] = []

    def names(self, *, logins: bool) -> list[str]:
        """The names of everything, of login volumes only with `logins`."""
        return [*self.containers, *self.workspaces, *self.caches, *self.others, *(self.logins if logins else [])]


class Purged(msgspec.Struct, frozen=True):
    """The names of what was removed; what could not be removed, with the engine's message."""

    removed: list[str]
    failed: dict[str, str]


def appliances_on(engine: ContainerEngine) -> list[Belongings]:
    """Every appliance that has objects on the engine, by id."""
    labels = [each.labels for each in engine.containers({})] + [each.labels for each in engine.volumes({})]
    ids = {each.get(LABEL_APPLIANCE) for each in labels}
    return [belongings(engine, appliance_id) for appliance_id in sorted(found for found in ids if found)]


def belongings(engine: ContainerEngine, appliance_id: str, *, login_prefix: str | None = None) -> Belongings:
    """Objects with the appliance's label; with `login_prefix` also login volumes of that name, of any creator."""
    label = {LABEL_APPLIANCE: appliance_id}
    containers = engine.containers(label)
    volumes = engine.volumes(label)
    workspaces = {volume.name for volume in volumes if LABEL_RUN in volume.labels}
    caches = {volume.name for volume in volumes if volume.labels.get(LABEL_ROLE) == "cache"}
    logins = {volume.name for volume in volumes if volume.labels.get(LABEL_ROLE) == "login"}
    if login_prefix is not None:
        number = re.compile(rf"{re.escape(login_prefix)}[0-9]+")
        logins |= {volume.name for volume in engine.volumes({}) if number.fullmatch(volume.name)}
    return Belongings(
        appliance_id=appliance_id,
        containers=_names(containers),
        running=_names(each for each in containers if each.running),
        workspaces=sorted(workspaces),
        caches=sorted(caches),
        logins=sorted(logins),
        others=sorted({volume.name for volume in volumes} - workspaces - caches - logins),
    )


def purge(engine: ContainerEngine, found: Belongings, *, logins: bool = False, network: str | None = None) -> Purged:
    """Remove containers, then volumes, then `network` unless it is in use. Idempotent.

    Login volumes are removed with `logins` only. Stop the appliance first: its workers would start new containers.
    An object that cannot be removed does not stop the rest.
    """
    removed: list[str] = []
    failed: dict[str, str] = {}
    steps = [(engine.remove, found.containers), (engine.remove_volume, found.workspaces + found.caches + found.others)]
    if logins:
        steps.append((engine.remove_volume, found.logins))
    for remove, names in steps:
        for name in names:
            try:
                if remove(name):
                    removed.append(name)
            except EngineError as error:
                failed[name] = error.message
    if network is not None and not failed:
        try:
            if engine.remove_network(network):
                removed.append(network)
        except EngineError as error:
            failed[network] = error.message
    return Purged(removed, failed)


def _names(containers: Iterable[ContainerState]) -> list[str]:
    return [container.name for container in containers]
