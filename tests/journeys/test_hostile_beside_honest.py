"""A hostile agent that tries everything at once does not affect another user's run on another shard.

The real Codex CLI, engine and git, and the appliance as a process of its own. The hostile agent's attacks are in
`attack.py`; each case ends in another way.
"""

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import LoginFault, LoginState
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment

from .conftest import API, Caller, docker, files_below, git
from .served import MAIN, Served
from .side_by_side import (
    HONEST_TEXT,
    OTHER_PATHS,
    OVERRIDES,
    WAIT_SECONDS,
    ask,
    new_repository,
    percentile,
    resources_of,
    run_both,
)

pytestmark = [pytest.mark.docker, pytest.mark.image]

# A search in quadratic time delayed every response by 10 to 64 seconds.
LONGEST_P99, LONGEST_ANSWER = 1.5, 5.0


class Case(NamedTuple):
    """The attacks, and the expected result: of the run, of the shard's login, and the shard's event."""

    attacks: tuple[str, ...]
    ends: tuple[str, str]
    login: tuple[LoginState, LoginFault | None]
    event: str


EVERYWHERE = ("rollout", "stream", "configuration")
CASES = {
    "a full disk and another account's login": Case(
        (*EVERYWHERE, "forged_limit", "blank_documents", "many_questions", "disk", "swapped_login"),
        ("failed", "workspace_too_large"),
        (LoginState.DEAD, LoginFault.ACCOUNT_CHANGED),
        "shard.login_dead",
    ),
    "a forged limit and a login that nobody can read": Case(
        (*EVERYWHERE, "forged_limit", "blank_documents", "deep_login"),
        ("queued", "login"),
        (LoginState.DEAD, LoginFault.FILE_UNREADABLE),
        "shard.login_dead",
    ),
    "a forged limit and words for the redactor": Case(
        (*EVERYWHERE, "forged_limit", "blank_documents", "taught_words"),
        ("queued", "quota"),
        (LoginState.PRESENT, None),
        "shard.rests",
    ),
    "documents that are slow to read and words for the redactor": Case(
        (*EVERYWHERE, "blank_documents", "many_questions", "taught_words"),
        ("failed", "phase_output_too_large"),
        (LoginState.PRESENT, None),
        "shard.login_present",
    ),
    "a commit with links, secrets and a folder as login": Case(
        (*EVERYWHERE, "some_questions", "links", "secret_names", "secret_text", "login_folder"),
        ("failed", "secret_in_change"),
        (LoginState.DEAD, LoginFault.FILE_UNREADABLE),
        "shard.login_dead",
    ),
}


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, shards=2, overrides=OVERRIDES) as made:
        yield made


@pytest.fixture(scope="module")
def served(environment, tmp_path_factory):
    made = Served(environment, tmp_path_factory.mktemp("served") / "serve.log").start()
    yield made
    made.close()


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def outcome(environment, served, case):
    return run_both(environment, served, case.attacks)


def test_the_honest_run_succeeds(environment, outcome):
    """With its pull request, including the words that the agent tried to have redacted."""
    run = outcome.honest
    assert run["status"] == "succeeded", run["failure"]
    (pull,) = environment.github.pull_requests(run["repository"])
    assert pull.html_url == run["pull_request_url"]
    files = git(
        environment.github.git_folder(run["repository"]), "show", f"{run['branch_name']}:specs/001-dark-mode/spec.md"
    )
    assert "the user can switch to dark colours without a limit" in files


def test_every_page_responds_throughout(outcome):
    """With 200, and quickly."""
    assert outcome.asking.refused() == []
    health = outcome.asking.seconds()
    assert len(health) > 20
    assert percentile(health, 99) < LONGEST_P99
    assert health[-1] < LONGEST_ANSWER


def test_the_hostile_run_ends_with_a_reason(environment, outcome, case):
    """All attacks were executed, and nothing of the change was pushed."""
    undone = [name for name in case.attacks if f"attack {name}: done" not in outcome.log]
    assert undone == [], outcome.log
    run = outcome.hostile
    reason = run["waiting_for"]["reason"] if run["waiting_for"] else run["failure"]["code"]
    assert (run["status"], reason) == case.ends
    assert list(environment.github.pull_requests(run["repository"])) == []
    branches = git(
        environment.github.git_folder(run["repository"]), "branch", "--list", "--format=%(refname:short)"
    ).split()
    assert branches == ["main"]
    assert [host for host in environment.openai.refused_hosts if "stolen" in host] == []


def test_no_secret_is_found_anywhere(environment, served, outcome):
    """No token of GitHub or of a login is in the data folder, the logs or a response."""
    with served.client() as client:
        answers = [ask(client, f"/runs/{run['run_id']}").body for run in (outcome.honest, outcome.hostile)]
    answers += {answer.body for answer in outcome.asking.answers}
    places = {
        "answers": "".join(answers).encode(),
        "details": json.dumps([outcome.honest, outcome.hostile]).encode(),
        "appliance's log": served.log.read_bytes(),
        **files_below(environment.data_dir),
    }
    assert any(str(place).endswith("-wal") for place in places)
    needles = [form for secret in outcome.secrets for form in (secret.encode(), base64.b64encode(secret.encode()))]
    assert len(needles) == 14
    assert [(str(place), needle[:6]) for place, data in places.items() for needle in needles if needle in data] == []
    assert b"\x1b" not in places["answers"]
    assert [line for line in served.log.read_text(encoding="utf-8").splitlines() if not line.isprintable()] == []
    assert len(places["details"]) < 256 * 1024


def test_a_download_follows_no_planted_link(served, outcome, tmp_path):
    """The artifacts are saved in a folder that has links with their names; the command's output is plain text."""
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("untouched")
    folder.mkdir()
    names = [entry["name"] for entry in outcome.hostile["artifacts"]]
    for name in names:
        (folder / name).symlink_to(victim)
        (folder / f".{name}.part").symlink_to(victim)
    words = ["runs", "artifacts", outcome.hostile["run_id"], "--download", str(folder), "--server", served.url]
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MOONMIND_API_TOKEN": served.token},
        capture_output=True,
        check=True,
    )
    assert victim.read_text() == "untouched"
    assert names
    assert [name for name in names if not (folder / name).is_file() or (folder / name).is_symlink()] == []
    assert [line for line in done.stdout.decode().splitlines() if not line.isprintable()] == []


def test_the_shard_can_be_used_again_after_a_sign_in(environment, served, outcome, case):
    """Its state is known and has an event; a new login accepts runs, and the appliance starts again."""
    with served.client() as client, resources_of(served) as resources:
        caller = Caller(client)
        state = caller.client.get(f"{API}/shards").raise_for_status().json()["items"][0]
        assert (state["login"], resources.store.shards.get(0).login_fault) == case.login, state
        kinds = [event["kind"] for event in state["events"]]
        assert case.event in kinds
        assert "shard.state_unreadable" not in kinds
        longest = datetime.now(UTC) + timedelta(hours=6, minutes=1)
        assert state["rests_until"] is None or datetime.fromisoformat(state["rests_until"]) < longest
        environment.sign_in_by(served.environment, 0)
        assert resources.store.shards.get(0).cooldown_until is None
        run = caller.wait(caller.submit(new_repository(environment), HONEST_TEXT, shard=0), seconds=WAIT_SECONDS)
        assert (run["status"], run["shard"]) == ("succeeded", 0), run["failure"]
    code, _seconds = served.terminate()
    assert code == 0
    served.start()
    with served.client() as client:
        paths = ("/health", *OTHER_PATHS, f"/runs/{outcome.hostile['run_id']}")
        assert [ask(client, path).status for path in paths] == [200] * len(paths)
    assert docker("ps", "--all", "--quiet", "--filter", f"label=moonmind.run={outcome.hostile['run_id']}") == ""
