"""An appliance whose agent is the real adapter for Codex; what its container writes is made up."""

import base64
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.checks.readiness import Readiness
from moonmind_appliance.execution.recover import recover
from moonmind_appliance.models import ContainerSpec, ExecSpec, FailureCode, LoginState, RunStatus
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.scheduling.wake import maintain
from moonmind_appliance.shards.read_login import record_login_file
from moonmind_appliance.store import Store
from tests.api.served import Served
from tests.appliance_under_test import DOCUMENTS, FEATURE, ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile
from tests.fakes import NOW
from tests.in_container.sent import job_of, program_of

DEEP = "@deep@"
VALUES: dict[str, Any] = {
    "nothing": None,
    "another type": "soon",
    "a list": [],
    "empty": "",
    "binary": "\x00\x1b[2J\u009b\u202e\ud800",
    "negative": -1,
    "huge": 10**400,
    "not a number": float("nan"),
    "deep": DEEP,
}
SECONDS = int(NOW.timestamp()) + 3600
LIMITS = {
    "primary": {"used_percent": 100.0, "window_minutes": 300, "resets_at": SECONDS},
    "secondary": {"used_percent": 12.0, "window_minutes": 10_080, "resets_at": SECONDS},
    "rate_limit_reached_type": "workspace_owner_credits_depleted",
}
GOOD: dict[str, Any] = {
    "events": [
        {"type": "thread.started", "thread_id": "019c0000-0000-7000-8000-000000000000"},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}},
        {"type": "turn.completed", "usage": {"input_tokens": 5, "output_tokens": 7}},
    ],
    "report": {
        "login_digest": "d",
        "rate_limits": LIMITS,
        "limit_told": True,
        "feature": FEATURE,
        "feature_problem": "",
        "files": {},
    },
    "exit": 0,
}
LIMITED: dict[str, Any] = {
    "events": [{"type": "error", "message": "limit"}, {"type": "turn.failed", "error": {"message": "limit"}}],
    "report": {
        "login_digest": "d",
        "rate_limits": {"primary": LIMITS["primary"]},
        "limit_told": True,
        "codex_error_info": "usage_limit_exceeded",
        "files": {},
    },
    "exit": 1,
}
REFUSED = copy.deepcopy(LIMITED)
REFUSED["report"]["rate_limits"] = LIMITS
CLAIMS = {
    "email": "a@example.org",
    "exp": SECONDS * 2,
    "https://api.openai.com/auth": {
        "chatgpt_account_id": "account",
        "chatgpt_user_id": "a",
        "chatgpt_plan_type": "plus",
    },
}
LOGIN: dict[str, Any] = {
    "auth_mode": "chatgpt",
    "OPENAI_API_KEY": None,
    "tokens": {
        "id_token": CLAIMS,
        "access_token": CLAIMS,
        "refresh_token": "rt_0123456789abcdefghij",
        "account_id": "account",
    },
    "last_refresh": "2026-03-01T11:00:00.000000000Z",
}
CHECKED = {"account": {"id": 2, "result": {"account": {"type": "chatgpt"}}}, "refreshed": False, "refresh_error": ""}


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every position in a structure: its leaves and their containers."""
    if before:
        yield before
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*before, key))


def replaced(whole: Any, path: Sequence[Any], value: Any) -> Any:
    changed = copy.deepcopy(whole)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def text(value: Any) -> bytes:
    return json.dumps(value).replace(f'"{DEEP}"', "[" * 50_000 + "]" * 50_000).encode()


def login_file(login: Any) -> bytes:
    """The stored login; tokens that are still claims are encoded as tokens."""
    packed = copy.deepcopy(login)
    tokens = packed.get("tokens") if isinstance(packed, dict) else None
    for name in ("id_token", "access_token"):
        if isinstance(tokens, dict) and isinstance(tokens.get(name), dict) and tokens[name]:
            claims = base64.urlsafe_b64encode(text(tokens[name])).rstrip(b"=").decode()
            tokens[name] = f"e30.{claims}.c2ln"
    return text(packed)


class Hostile:
    """An appliance whose agent is Codex, and whose shard 0 behaves as a case defines."""

    def __init__(self, appliance: ApplianceUnderTest, served: Served, agent: Codex | None = None) -> None:
        self.appliance = appliance
        self.ready = served.checks
        self.client: httpx.Client = served.client("olga")
        self.said: list[Any] = [GOOD]
        """What the next turns report; the last report is repeated."""
        self.line = b""
        for image in appliance.engine.images.values():
            image.labels |= {f"moonmind.{name}.version": "1" for name in ("codex", "spec-kit", "job-image")}
        appliance.with_resources(agent=agent or Codex())
        appliance.engine.on_exec(lambda _container, spec: program_of(spec) == "codex_turn", self.turn)
        self.checked: dict[str, Any] | None = CHECKED
        """OpenAI's answer to a check; None: there is no answer. `refreshed`: the login was renewed."""
        appliance.engine.on_exec(_is_check, self.check)

    @property
    def resources(self) -> Any:
        return self.appliance.executor._resources

    def turn(self, process: FakeExec) -> int:
        asked = job_of(process.spec)
        phase = next(phase for phase in DOCUMENTS if phase.value.replace("_", "-") in asked["skill"])
        name, document = DOCUMENTS[phase]
        files = {".specify/feature.json": json.dumps({"feature_directory": FEATURE}), f"{FEATURE}/{name}": document}
        said = copy.deepcopy(self.said.pop(0) if len(self.said) > 1 else self.said[0])
        if isinstance(said["report"], dict) and said["report"].get("files") == {}:
            said["report"]["files"] = files
        for event in said["events"] if isinstance(said["events"], list) else [said["events"]]:
            process.stdout.write(text(event) + b"\n")
        process.stdout.write(self.line + b"\n")
        if isinstance(said["report"], dict):
            process.stdout.write(text({"type": "moonmind.report", **said["report"]}) + b"\n")
        return 0 if said["exit"] == 0 else 1

    def check(self, process: FakeExec) -> None:
        if self.checked is None:
            return
        if self.checked.get("refreshed"):
            renewed = copy.deepcopy(LOGIN)
            renewed["tokens"]["refresh_token"] += "-renewed"
            process.write_file(f"{LOGIN_FOLDER}/auth.json", login_file(renewed))
        process.stdout.write(json.dumps(self.checked).encode())

    def put(self, content: bytes, shard: int = 0) -> None:
        self.appliance.engine.volume_data[self.appliance.resources.shards[shard].volume].files["auth.json"] = FakeFile(
            content
        )

    def sign_in(self) -> None:
        """Both shards, as at the start of each case."""
        self.said, self.line = [GOOD], b""
        for shard in (0, 1):
            content = login_file(LOGIN)
            self.put(content, shard)
            resources = self.resources
            record_login_file(resources, shard, content, signed_in=True)

    def attack(self, rule: str) -> None:
        """One run on shard 0, the periodic checks, a restart; then everything answers and an honest run succeeds."""
        run = self.appliance.submit(shard=0, dry_run=True)
        self.appliance.work(0)
        ended = self.appliance.stored(run)
        assert ended.status in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.QUEUED), rule
        assert ended.failure is None or ended.failure.code is not FailureCode.INTERNAL_ERROR, rule
        if ended.status is RunStatus.QUEUED:
            self.appliance.store.runs.request_cancel(run.run_id, now=self.appliance.clock())
        maintain(self.resources)
        again = Store.open(self.resources.settings.moonmind_data_dir)
        assert len(again.shards.all(2)) == 2, rule
        again.close()
        recover(self.resources)
        self.ready.update(Readiness(self.resources, dict).now())
        for path in ("/ready", "/shards", "/metrics", f"/runs/{run.run_id}"):
            answer = self.client.get(path)
            assert answer.status_code == 200, (rule, path, answer.text)
        assert "shard.state_unreadable" not in [event.kind for event in again_events(self.appliance)], rule
        self.said, self.line = [GOOD], b""
        assert self.appliance.store.shards.get(1).login is LoginState.PRESENT, rule


def again_events(appliance: ApplianceUnderTest) -> list[Any]:
    return [event for shard in (0, 1) for event in appliance.store.events.of_shard(shard)]


def _is_check(_container: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec) == "codex_check"
