"""The login that a run's agent container works with is read and recorded."""

import hashlib

import pytest

from moonmind_appliance.models import LoginCheck
from moonmind_appliance.phases.agent_login import record_login
from moonmind_appliance.phases.context import RecordedLogin
from moonmind_appliance.phases.start_job_container import agent_spec
from tests.containers.fake_objects import FakeFile
from tests.phases.contexts import make_context


class Recorder:
    def __init__(self, problem: str) -> None:
        self.problem, self.files = problem, list[bytes | None]()

    def record(self, login_file: bytes | None) -> str:
        self.files.append(login_file)
        return self.problem

    def checked(self, check: LoginCheck) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("content", [None, b"rt_secret"])
def test_the_file_is_recorded_with_its_digest(content: bytes | None) -> None:
    """Without a file there is no digest. The problem names the shard."""
    recorder = Recorder("no login" if content is None else "")
    context = make_context(login_recorder=recorder)
    context.engine.ensure_network(context.settings.job_network, {})
    context.engine.start(agent_spec(context))
    if content is not None:
        context.engine.volume_data[context.names.shard.volume].files["auth.json"] = FakeFile(content)  # type: ignore[attr-defined]
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    assert record_login(context) == RecordedLogin(digest, "shard 0: no login" if content is None else "")
    assert recorder.files == [content]


def test_a_lost_container_says_nothing_about_a_missing_login() -> None:
    """While a container is being removed, its volumes look empty; a file that is found counts."""
    recorder = Recorder("")
    context = make_context(login_recorder=recorder)
    context.engine.ensure_network(context.settings.job_network, {})
    context.engine.start(agent_spec(context))
    assert record_login(context, lost=True) == RecordedLogin(None, "")
    assert recorder.files == []
    context.engine.volume_data[context.names.shard.volume].files["auth.json"] = FakeFile(b"rt_secret")  # type: ignore[attr-defined]
    record_login(context, lost=True)
    assert recorder.files == [b"rt_secret"]
