"""The exact bodies of Docker's API for each spec."""

from datetime import UTC
from typing import Any

import pytest

from moonmind_appliance.containers import convert
from moonmind_appliance.containers.convert import unused_images, volume_state
from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits, Mount, VolumeState

LIMITS = Limits(memory_bytes=512 * 1024**2, cpus=1.5, pids=100)
SPEC = ContainerSpec(
    name="run-1-agent", image="job:1", command=["sleep", "infinity"], labels={"b": "2", "a": "1"}, limits=LIMITS
)


def _with(**changes: object) -> dict[str, object]:
    return convert.container_body(ContainerSpec(**{**_fields(), **changes}))  # type: ignore[arg-type]


def _fields() -> dict[str, object]:
    return {name: getattr(SPEC, name) for name in SPEC.__struct_fields__}


def test_a_plain_spec_becomes_a_hardened_container() -> None:
    """The test has the whole body, so that weakening it needs a change here."""
    assert convert.container_body(SPEC) == {
        "Image": "job:1",
        "Entrypoint": [],
        "Cmd": ["sleep", "infinity"],
        "User": "1000:1000",
        "WorkingDir": "/work",
        "Env": [],
        "Labels": {"a": "1", "b": "2"},
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Dns": ["127.0.0.1"],
            "DnsSearch": ["."],
            "NetworkMode": "none",
            "Mounts": [],
            "Tmpfs": {},
            "ReadonlyRootfs": True,
            "Privileged": False,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "Init": True,
            "Memory": 512 * 1024**2,
            "MemorySwap": 512 * 1024**2,
            "CpuPeriod": 100_000,
            "CpuQuota": 150_000,
            "PidsLimit": 100,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
        },
    }


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"env": {"B": "2", "A": "1=1"}}, ("Env",), ["A=1=1", "B=2"]),
        ({"working_dir": "/work/runs"}, ("WorkingDir",), "/work/runs"),
        ({"network": "moonmind-jobs"}, ("HostConfig", "NetworkMode"), "moonmind-jobs"),
        (
            {"mounts": [Mount("/docker/volumes/all/_data/one", "/work/runs")]},
            ("HostConfig", "Mounts"),
            [{"Type": "bind", "Source": "/docker/volumes/all/_data/one", "Target": "/work/runs", "ReadOnly": False}],
        ),
        (
            {"mounts": [Mount("v1", "/work/runs"), Mount("v2", "/x", read_only=True)]},
            ("HostConfig", "Mounts"),
            [
                {
                    "Type": "volume",
                    "Source": "v1",
                    "Target": "/work/runs",
                    "ReadOnly": False,
                    "VolumeOptions": {"NoCopy": False},
                },
                {
                    "Type": "volume",
                    "Source": "v2",
                    "Target": "/x",
                    "ReadOnly": True,
                    "VolumeOptions": {"NoCopy": False},
                },
            ],
        ),
        (
            {"tmpfs": {"/tmp": "exec"}},  # noqa: S108 - a path inside the container
            ("HostConfig", "Tmpfs"),
            {"/tmp": "exec,uid=1000,gid=1000,mode=0700,size=268435456"},  # noqa: S108 - as above
        ),
        ({"limits": Limits(memory_bytes=1, cpus=0.25, pids=7)}, ("HostConfig", "CpuQuota"), 25_000),
    ],
)
def test_each_field_of_a_spec_is_in_the_body(
    changes: dict[str, object], where: tuple[str, ...], expected: object
) -> None:
    """Each field of a spec has its place in the body; lists and maps are in a stable order."""
    value: object = _with(**changes)
    for key in where:
        value = value[key]  # type: ignore[index]
    assert value == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "uid=1000,gid=1000,mode=0700,size=268435456"),
        ("size=1g", "size=1g,uid=1000,gid=1000,mode=0700"),
        ("exec,mode=1777,size=10m", "exec,mode=1777,size=10m,uid=1000,gid=1000"),
        ("uid=0,gid=0,mode=0755,size=1k", "uid=0,gid=0,mode=0755,size=1k"),
    ],
)
def test_a_tmpfs_is_the_users_and_bounded(given: str, expected: str) -> None:
    """Owner, mode and size are added if they are not given; the size is half the memory limit."""
    assert convert.tmpfs_options(given, LIMITS) == expected


def test_an_execs_arguments_are_not_interpreted() -> None:
    """No shell interprets the command, and it does not contain the environment."""
    command = ["git", "commit", "-m", "$(reboot) 'x' \"y\""]
    spec = ExecSpec(command=command, env={"TOKEN": "t0p", "A": "b"}, working_dir="/work/runs")
    assert convert.exec_arguments(spec) == {
        "cmd": command,
        "environment": ["A=b", "TOKEN=t0p"],
        "workdir": "/work/runs",
        "user": "1000:1000",
        "stdin": False,
        "stdout": True,
        "stderr": True,
        "tty": False,
        "privileged": False,
    }


def listed(name: str, size: int, *, parent: str = "", tag: str = "<none>:<none>", created: int = 0) -> dict[str, Any]:
    """An image as `GET /images/json` lists it."""
    return {
        "Id": name,
        "ParentId": parent,
        "RepoTags": [tag],
        "Created": created,
        "Size": size,
        "SharedSize": -1,
        "Labels": {"moonmind.build": "job-image"},
    }


class TestUnusedImages:
    def sizes(self, unused: list[str], *everything: dict[str, Any]) -> dict[str, int]:
        found = unused_images([each for each in everything if each["Id"] in unused], everything)
        return {image.image_id: image.size_bytes for image in found}

    def test_layers_that_a_tag_still_needs_are_not_counted(self) -> None:
        """A build stage on a base image frees only its own layers, those without a name included."""
        base = listed("base", 200, tag="moonmind/base:1")
        step, stage = listed("step", 250, parent="base"), listed("stage", 300, parent="step")
        assert self.sizes(["stage"], base, step, stage) == {"stage": 100}

    def test_layers_that_two_share_are_counted_once(self) -> None:
        """By the older one."""
        step = listed("step", 100)
        one, two = listed("one", 150, parent="step", created=5), listed("two", 170, parent="step", created=9)
        assert self.sizes(["two", "one"], step, two, one) == {"one": 150, "two": 70}

    def test_layers_of_an_image_that_stays_without_a_name(self) -> None:
        """A container uses it, so it is not among the unused ones."""
        step = listed("step", 100)
        stays, goes = listed("stays", 150, parent="step"), listed("goes", 130, parent="step")
        assert self.sizes(["goes"], step, stays, goes) == {"goes": 30}

    def test_a_buildkit_image_may_have_a_shared_size(self) -> None:
        """It has no parent."""
        assert self.sizes(["a"], listed("a", 500) | {"SharedSize": 200}) == {"a": 300}

    def test_the_oldest_comes_first(self) -> None:
        """With its time of creation, in UTC."""
        images = [listed("b", 1, created=86400), listed("a", 1)]
        assert [(image.image_id, image.created_at.year) for image in unused_images(images, images)] == [
            ("a", 1970),
            ("b", 1970),
        ]


@pytest.mark.parametrize(
    ("created", "hour"),
    [("2026-03-01T08:00:00Z", 8), ("2026-03-01T08:00:00+02:00", 6), ("2026-03-01T08:00:00", None), ("", None)],
)
def test_a_volume_and_its_time(created: str, hour: int | None) -> None:
    """Drivers need not report one, and a time without an offset is unknown."""
    state = volume_state({"Name": "v", "Labels": None, "CreatedAt": created})
    assert (state.name, state.labels) == ("v", {})
    assert (state.created_at and state.created_at.astimezone(UTC).hour) == hour
    assert volume_state({"Name": "v", "Labels": {"a": "b"}}) == VolumeState("v", {"a": "b"})
