"""A login file that an agent may have replaced or damaged."""

import pytest

from moonmind_appliance.containers.login_file import UNREADABLE_LOGIN, read_login_file
from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import ContainerSpec, Limits, Mount
from tests.containers.fake import JOB_IMAGE, FakeEngine
from tests.containers.fake_objects import FakeFile

PATH = "/work/login/auth.json"


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    mounts = [Mount("volume", "/work/login")]
    engine.start(
        ContainerSpec(name="box", image=JOB_IMAGE, command=["x"], labels={}, limits=Limits(1, 1, 1), mounts=mounts)
    )
    return engine


def read(engine: FakeEngine, content: bytes | None = None) -> bytes | None:
    if content is not None:
        engine.volume_data["volume"].files["auth.json"] = FakeFile(content)
    return read_login_file(engine, "box", PATH, limit=5)


def test_a_login_is_read_and_a_missing_one_is_none(engine: FakeEngine) -> None:
    """An empty file is not a missing one."""
    assert read(engine) is None
    assert read(engine, b"") == b""
    assert read(engine, b"12345") == b"12345"


def test_a_file_that_is_too_large_is_a_login_that_cannot_be_used(engine: FakeEngine) -> None:
    """It is not an error of the engine, which would fail the run."""
    assert read(engine, b"123456") == UNREADABLE_LOGIN


def test_an_error_of_the_engine_stays_one(engine: FakeEngine) -> None:
    """The login may be usable."""
    engine.fail(EngineUnreachable("gone"), method="read_file")
    with pytest.raises(EngineUnreachable):
        read(engine, b"1")
