"""The clone and the removal of the containers overlap with the phases before them."""

import threading

import pytest

from moonmind_appliance.models import ContainerSpec, PhaseName, RunStatus
from tests.appliance_under_test import ApplianceUnderTest, ends


class Meeting:
    """Two threads that wait for each other; `met` has True for each that saw the other one."""

    def __init__(self) -> None:
        self._arrived = {"first": threading.Event(), "second": threading.Event()}
        self.met: dict[str, bool] = {}

    def arrive(self, name: str, other: str) -> None:
        self._arrived[name].set()
        self.met[name] = self._arrived[other].wait(10)


def test_the_clone_runs_while_the_agent_container_starts(
    appliance: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for the end of the other."""
    meeting, start = Meeting(), appliance.engine.start

    def start_slowly(spec: ContainerSpec, *, run: bool = True) -> str:
        if spec.name == appliance.resources.shards[0].lock and run:
            meeting.arrive("first", "second")
        return start(spec, run=run)

    monkeypatch.setattr(appliance.engine, "start", start_slowly)
    appliance.git_acts["clone"] = [lambda _: meeting.arrive("second", "first")]
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert meeting.met == {"first": True, "second": True}


def test_containers_are_removed_while_the_pull_request_is_opened(
    appliance: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for the end of the other; cleanup reports what was removed."""
    github = appliance.resources.github
    assert github is not None
    meeting, remove, find = Meeting(), appliance.engine.remove, github.find_pull_request

    def remove_slowly(container: str) -> bool:
        meeting.arrive("first", "second")
        return remove(container)

    def find_slowly(slug: str, branch: str) -> object:
        meeting.arrive("second", "first")
        return find(slug, branch)

    monkeypatch.setattr(appliance.engine, "remove", remove_slowly)
    monkeypatch.setattr(github, "find_pull_request", find_slowly)
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert meeting.met == {"first": True, "second": True}
    assert appliance.containers() == []


def test_the_agent_container_is_removed_while_the_change_is_pushed(
    appliance: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not earlier: while the files are read it exists, and no process of it runs."""
    meeting, remove, found = Meeting(), appliance.engine.remove, list[bool]()
    name = appliance.resources.shards[0].lock

    def remove_slowly(container: str) -> bool:
        if found and not meeting.met:
            meeting.arrive("first", "second")
        return remove(container)

    monkeypatch.setattr(appliance.engine, "remove", remove_slowly)
    appliance.git_acts["stage"] = [
        lambda _: found.extend(each.running for each in appliance.engine.containers({}) if each.name == name)
    ]
    appliance.git_acts["push"] = [lambda _: meeting.arrive("second", "first")]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert found == [False]
    assert meeting.met == {"first": True, "second": True}
    assert name in run.phase(PhaseName.CLEANUP).metadata["removed"]
    assert appliance.containers() == []
