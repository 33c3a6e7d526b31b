"""Runs a hostile agent on shard 0 and a normal user's run on shard 1 at the same time, while the API is polled."""

import math
import shlex
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from importlib import resources
from typing import NamedTuple

import httpx

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.attach import attach
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from moonmind_appliance.settings import load
from moonmind_appliance.shards.read_login import read_stored_login

from .conftest import API, Caller

# "the user" and "limit" are words that the hostile agent tries to have redacted.
HONEST_TEXT = "# Dark mode\n\n- Goal: the user can switch to dark colours without a limit"
HOSTILE_TEXT = "# Light mode\n\n- Goal: people can switch to light colours"
OTHER_PATHS = ("/ready", "/shards", "/metrics", "/runs")
HEALTH_EVERY, OTHERS_EVERY = 0.05, 1.0
MOST_REQUESTS = 8000
WAIT_SECONDS = 300
OVERRIDES = {"MAX_WORKSPACE_BYTES": "64m"}
"""Settings of the environment: small enough that a test fills it."""


POLLS = ((("/health",), HEALTH_EVERY), (OTHER_PATHS, OTHERS_EVERY))


class Response(NamedTuple):
    """One response of the API; the status is 0 if there was none. `at`: when it was asked for, on the wall clock."""

    path: str
    status: int
    seconds: float
    body: str
    at: float


class ApiPoller:
    """Requests pages during the block; at most `MOST_REQUESTS` times each.

    `polls`: which pages, one after the other, and the seconds between; each of these has a client of its own.
    `/health` often and the other pages less often by default.
    """

    def __init__(self, served, polls=POLLS):
        self._served = served
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=poll) for poll in polls]
        self.answers = []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, paths, every):
        with self._served.client() as client:
            for _ in range(MOST_REQUESTS):
                for path in paths:
                    self.answers.append(ask(client, path))
                if self._over.wait(every):
                    return

    def seconds(self, path="/health", since=0.0, until=math.inf):
        """The response times, sorted; of the requests in that time."""
        return sorted(answer.seconds for answer in self.answers if answer.path == path and since <= answer.at <= until)

    def refused(self):
        """Every response other than 200."""
        return [(answer.path, answer.status, answer.body) for answer in self.answers if answer.status != 200]


def ask(client, path):
    at, began = time.time(), time.monotonic()
    try:
        answer = client.get(f"{API}{path}")
    except httpx.HTTPError as error:
        return Response(path, 0, time.monotonic() - began, repr(error), at)
    return Response(path, answer.status_code, time.monotonic() - began, answer.text, at)


def percentile(ordered, percent):
    """The nearest-rank percentile of sorted values."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@contextmanager
def resources_of(served):
    """The appliance's stores and engine, beside the serving process."""
    with attach(load(served.environment).settings) as resources:
        yield resources


def login_secrets(resources, shard):
    """The tokens in a shard's login volume."""
    found = read_stored_login(resources, shard)
    return set(Codex().secrets_of(found or b"").values())


def sign_both_in(environment, served):
    """Sign two accounts in; returns the account of shard 0 and all tokens."""
    for shard in (0, 1):
        environment.sign_in_by(served.environment, shard)
    with resources_of(served) as resources:
        email = resources.store.shards.get(0).account_email
        secrets = login_secrets(resources, 0) | login_secrets(resources, 1)
    return next(account for account in environment.openai.accounts if account.email == email), secrets


def shell_script(attacks):
    """The command that the hostile agent's model starts in each phase."""
    source = resources.files(__package__).joinpath("attack.py").read_text(encoding="utf-8")
    names = shlex.join(attacks)
    return f"python3 -I -S - \"$FEATURE\" {names} <<'END_OF_ATTACK' 2>&1\n{source}\nEND_OF_ATTACK\n"


class Outcome(NamedTuple):
    """The results of both runs; `honest` and `hostile` are run details, the hostile one as it first stopped."""

    honest: dict
    hostile: dict
    honest_seconds: float
    asking: ApiPoller
    log: str
    secrets: set


def new_repository(environment):
    slug = f"journey/side-by-side-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(slug)
    return slug


def is_settled(run):
    """Whether the run ended, or waits for something that needs a person."""
    return run["status"] in FINAL_RUN_STATUSES or run["waiting_for"] is not None


def run_both(environment, served, attacks):
    """Sign both shards in, start the hostile run on shard 0, the honest one on shard 1 as soon as the other works.

    Without attacks only the honest run is started.
    """
    thief, secrets = sign_both_in(environment, served)
    mine, other = new_repository(environment), new_repository(environment)
    with ExitStack() as stack:
        caller = Caller(stack.enter_context(served.client()))
        asking = stack.enter_context(ApiPoller(served))
        hostile = None
        if attacks:
            environment.openai.respond_with(
                ScriptedResponse(ResponseKind.HOSTILE, script=shell_script(attacks)), account=thief
            )
            stack.callback(environment.openai.respond_with, ScriptedResponse())
            hostile = caller.submit(other, HOSTILE_TEXT, shard=0)
            caller.wait(hostile, until=lambda run: run["status"] != "queued", seconds=WAIT_SECONDS)
        began = time.monotonic()
        mine_id = caller.submit(mine, HONEST_TEXT, shard=1)
        honest = caller.wait(mine_id, seconds=WAIT_SECONDS)
        seconds = time.monotonic() - began
        attacked, log = {}, ""
        if hostile is not None:
            attacked = caller.wait(hostile, until=is_settled, seconds=WAIT_SECONDS)
            logs = [entry["name"] for entry in attacked["artifacts"] if entry["name"].endswith(".stdout.jsonl")]
            if attacked["status"] == "queued":
                # OpenAI does not confirm a forged limit, so the run would be retried.
                caller.client.post(f"{API}/runs/{hostile}/cancel").raise_for_status()
                caller.wait(hostile, seconds=WAIT_SECONDS)
            log = "".join(caller.artifact(attacked, name).decode(errors="replace") for name in logs)
    return Outcome(honest, attacked, seconds, asking, log, secrets | {environment.github_token})
