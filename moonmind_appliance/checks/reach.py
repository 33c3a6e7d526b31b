"""Checks what job containers reach: a temporary container requests the addresses of GitHub and of the agent."""

import io
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.agents.egress import login_proxies
from moonmind_appliance.checks.finding import Finding, note, ok, wrong
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import EngineError
from moonmind_appliance.github.proxy import CONNECT_STATUS, refusal, route_of
from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import LABEL_ROLE, ContainerSpec, ExecSpec, Limits, Mount
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, WORKSPACES
from moonmind_appliance.settings import Settings
from moonmind_appliance.trust import extra_authorities

NETWORK = "job network"
_LABELS = {LABEL_ROLE: "doctor"}
_CONNECT_SECONDS, _SECONDS = 6, 12
_MEMORY = 256 * 1024**2
# https://curl.se/libcurl/c/libcurl-errors.html
_CURL = {
    5: "DNS cannot resolve the proxy's name",
    6: "DNS cannot resolve the name",
    7: "connection refused: nothing listens there, or a firewall blocks it",
    28: "timed out",
    35: "the TLS handshake failed",
    56: "the connection was closed early, by the server or the proxy",
    60: "the TLS certificate is not trusted",
}
_NOT_TRUSTED = 60
_NO_PROXY_ANSWER = (5, 7, 28)


class _Target(NamedTuple):
    """An address, the environment of the request (Git's or the agent's, with its proxy), and the setting to check."""

    url: str
    env: dict[str, str]
    setting: str


def reach(engine: ContainerEngine, settings: Settings) -> Iterator[Finding]:
    """A finding for the network and one for each address, up to 12 seconds each. Removes its container.

    Raises:
        EngineError: the container could not be created.
    """
    name = f"moonmind-doctor-{secrets.token_hex(4)}"
    _remove_leftovers(engine)
    engine.ensure_network(settings.job_network, {})
    engine.ensure_volume(name, _LABELS)
    try:
        engine.start(_spec(name, settings))
        trusted = _trust(engine, name, settings)
        targets = [_github(settings)]
        targets += [_Target(url, login_proxies(settings), "AGENT_HTTPS_PROXY") for url in agent_of(settings).addresses]
        yield ok(NETWORK, f"{settings.job_network}: a container starts in it")
        for target in targets:
            yield _request(engine, name, target, trusted=trusted)
    finally:
        engine.remove(name)
        engine.remove_volume(name)


def _remove_leftovers(engine: ContainerEngine) -> None:
    """Remove what is left of checks that were killed; a container ends by its own time limit, a volume does not."""
    containers = engine.containers(_LABELS)
    for container in containers:
        if not container.running:
            engine.remove(container.name)
    running = {container.name for container in containers if container.running}
    for volume in engine.volumes(_LABELS):
        if volume.name not in running:
            with suppress(EngineError):  # a check that has just begun uses it
                engine.remove_volume(volume.name)


def _github(settings: Settings) -> _Target:
    """The address that git uses, with git's proxy."""
    url = settings.github_server_url
    proxied = route_of(url, settings).environment()
    return _Target(url, proxied, "GITHUB_HTTPS_PROXY" if proxied else "GITHUB_SERVER_URL")


def _spec(name: str, settings: Settings) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        image=settings.spec_automation_job_image,
        # Ends by its own time limit if this process is killed.
        command=["sleep", "120"],
        labels=_LABELS,
        limits=Limits(_MEMORY, 1.0, 64),
        network=settings.job_network,
        env={"LANG": "C.UTF-8"},
        mounts=[Mount(name, WORKSPACES)],
        tmpfs={"/tmp": "rw,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108 - a path inside the container
    )


def _trust(engine: ContainerEngine, container: str, settings: Settings) -> str | None:
    """The path, in the container, of the CA bundle that job containers trust; None: the image's own."""
    if settings.extra_ca_certs is None:
        return None
    engine.put_file(container, AGENT_CA_FILE, extra_authorities(settings.extra_ca_certs))
    bundle = f"{WORKSPACES}/{BUNDLE_NAME}"
    engine.execute(
        container,
        ExecSpec(command=command("ca_bundle", {"extra_ca": AGENT_CA_FILE, "bundle": bundle}), time_limit=_SECONDS),
        stdout=io.BytesIO(),
        stderr=io.BytesIO(),
    )
    return bundle


def _request(engine: ContainerEngine, container: str, target: _Target, *, trusted: str | None) -> Finding:
    """Request the address. A status below 500 passes: the address answers, and its certificate is trusted."""
    check = f"from containers: {target.url.split('://')[1].strip('/')}"
    curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
    curl += ["--connect-timeout", str(_CONNECT_SECONDS), "--max-time", str(_SECONDS)]
    curl += ["--cacert", trusted] if trusted else []
    out, err = io.BytesIO(), io.BytesIO()
    spec = ExecSpec(command=[*curl, target.url], env=target.env, time_limit=_SECONDS + 5)
    ended = engine.execute(container, spec, stdout=out, stderr=err)
    through = f" through {target.setting}" if target.env.get("HTTPS_PROXY") else ""
    if ended.ok:
        return _answered(check, out.getvalue().decode(errors="replace"), through)
    code, stderr = ended.exit_code or 0, err.getvalue().decode(errors="replace").strip()
    why = _CURL.get(code) or stderr or ended.ended.value
    if through and (refused := CONNECT_STATUS.search(stderr)):
        return wrong(check, f"The proxy of {target.setting} {refusal(int(refused[1]))}.", f"Check {target.setting}.")
    if through and code in _NO_PROXY_ANSWER:
        why = f"the proxy does not respond: {why}"
    if code == _NOT_TRUSTED:
        return wrong(check, f"{why}{through}.", "Set EXTRA_CA_CERTS to the PEM file of the CA that signed it.")
    return wrong(check, f"{why}{through}.", f"Check {target.setting}, JOB_NETWORK, DNS and firewall.")


def _answered(check: str, status: str, through: str) -> Finding:
    """The finding for an HTTP status. Which one below 500 does not matter: the address itself has no page."""
    if status.startswith("5"):
        return note(check, f"reached{through}, but it reports an error (HTTP {status}).", "Try again later.")
    return ok(check, f"reached{through}")
