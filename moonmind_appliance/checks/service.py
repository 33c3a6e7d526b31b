"""Checks of `serve`: whether it answers at its address and is ready; its address and its threads."""

from collections.abc import Mapping

import httpx
import msgspec

from moonmind_appliance.api_address import BASE_PATH, local_url, open_socket
from moonmind_appliance.checks.finding import Finding, note, ok, wrong
from moonmind_appliance.settings import Settings
from moonmind_appliance.untrusted_json import decode

_SECONDS = 5.0
# Another program at that address may send anything.
_LONGEST_ANSWER = 256 * 1024


class ServeState(msgspec.Struct, frozen=True):
    """`answers`: an appliance answers. `ready`: it accepts and executes runs; `problems` says why not."""

    answers: bool
    version: str = ""
    ready: bool = False
    problems: list[str] = []


class _Health(msgspec.Struct):
    status: str
    version: str


class _Problem(msgspec.Struct):
    field: str = ""
    message: str = ""


class _NotReady(msgspec.Struct):
    errors: list[_Problem] = []


def serve_state(settings: Settings, *, seconds: float = _SECONDS) -> ServeState:
    """Ask the API at the address of these settings; takes at most about twice `seconds`. Never raises.

    An answer of another program counts as no answer.
    """
    try:
        with httpx.Client(base_url=local_url(settings) + BASE_PATH, trust_env=False, timeout=seconds) as client:
            alive = client.get("/health")
            if alive.status_code != httpx.codes.OK or len(alive.content) > _LONGEST_ANSWER:
                return ServeState(answers=False)
            version = decode(alive.content, _Health).version
            problems = _ask_ready(client)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
        return ServeState(answers=False)
    return ServeState(answers=True, version=version, ready=not problems, problems=problems)


def _ask_ready(client: httpx.Client) -> list[str]:
    """Why it accepts no runs; empty if it does."""
    try:
        ready = client.get("/ready")
    except httpx.TimeoutException:
        return ["/ready did not respond in time."]
    return [] if ready.status_code == httpx.codes.OK else _problems(ready)


def _problems(answer: httpx.Response) -> list[str]:
    try:
        errors = decode(answer.content[:_LONGEST_ANSWER], _NotReady).errors
    except msgspec.MsgspecError:
        errors = []
    return [f"{problem.field}: {problem.message}" for problem in errors] or [f"/ready returned {answer.status_code}."]


def api_address(settings: Settings, state: ServeState) -> Finding:
    """Check that `serve` has its address, or that the address is free.

    Raises:
        AddressUnavailable: another program uses the address, or `serve` cannot listen on it.
    """
    check, address = "API address", local_url(settings)
    if state.answers:
        return ok(check, f"{address}, `serve` listens there")
    open_socket(settings.moonmind_host, settings.moonmind_port).close()
    return ok(check, f"{address} is free")


def serve(state: ServeState) -> Finding:
    """The state that a running `serve` reports."""
    check = "serve"
    if not state.answers:
        return note(check, "Not running.", "moonmind-appliance serve")
    if state.ready:
        return ok(check, f"version {state.version}, accepts and runs work")
    return wrong(
        check,
        f"version {state.version} cannot run work now. {' '.join(state.problems)}",
        "Fix the problems that it lists.",
    )


def workers(alive: Mapping[str, bool]) -> Finding:
    """Check that all threads of a running `serve` are alive, by their names."""
    dead = [name for name, running in alive.items() if not running]
    if dead:
        return wrong("workers", f"Worker threads not running: {', '.join(dead)}.", "Restart the appliance.")
    return ok("workers", f"{len(alive)} threads run")
