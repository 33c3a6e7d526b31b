"""The command `doctor`: all looks, one after the other, and a table."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.doctor.finding import Finding, Grade, note, ok, wrong
from moonmind_appliance.cli.doctor.github_access import github_findings
from moonmind_appliance.cli.doctor.logins import login_findings
from moonmind_appliance.cli.doctor.machine import (
    api_and_serve,
    clock,
    data_folder,
    docker_engine,
    free_space,
    job_image,
)
from moonmind_appliance.cli.doctor.reach import reach
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import MARKS, STYLES, clean, table
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import SettingsError
from moonmind_appliance.oidc import OidcVerifier
from moonmind_appliance.settings import Settings


@click.command(
    cls=Command,
    examples=[
        ("Everything", f"{PROGRAM} doctor"),
        ("Without asking anybody outside this machine", f"{PROGRAM} doctor --offline"),
        ("What is wrong, for a script", f"{PROGRAM} doctor --json | jq '.[] | select(.grade == \"wrong\")'"),
    ],
)
@click.option("--offline", is_flag=True, help="Ask neither GitHub nor Keycloak, and start no container.")
@click.pass_obj
def doctor(invocation: Invocation, *, offline: bool) -> Exit:
    """Check everything that a run needs, and say what to do.

    Looks at settings, data folder, disk, Docker engine, job image, what job containers reach, the GitHub token and the
    repositories, the shards' logins, the API's address, `serve`, Keycloak, and the clock. The job network and the
    logins' volumes are made where they are missing; a throw-away container is gone afterwards. Ends with 1 when
    something is wrong.
    """
    progress = invocation.err.status("Looking …") if invocation.err.is_terminal else nullcontext()
    with progress:
        findings = list(_look(invocation, offline=offline))
    shown = table("", "CHECK", "SEEN", "TO DO")
    for finding in findings:
        style = STYLES[finding.grade]
        shown.add_row(
            Text(MARKS[finding.grade], style),
            Text(clean(finding.check), "bold" if finding.grade is Grade.WRONG else ""),
            clean(finding.seen),
            Text(clean(finding.to_do), style if finding.grade is Grade.WRONG else "dim"),
        )
    bad = sum(finding.grade is Grade.WRONG for finding in findings)
    if bad:
        end = Text(f"\n{bad} of {len(findings)} checks found something wrong.", "bold red")
    else:
        end = Text("\nEverything that a run needs is there.", "bold green")
    invocation.answer(findings, Group(shown, end))
    return Exit.FAILED if bad else Exit.OK


def _look(invocation: Invocation, *, offline: bool) -> Iterator[Finding]:
    try:
        configuration = invocation.configuration()
    except SettingsError as error:
        for problem in error.problems:
            yield wrong(f"setting {problem.name}", problem.message, problem.hint)
        return
    settings = configuration.settings
    where = str(configuration.env_file or "the environment alone")
    if configuration.notes:
        yield note("settings", " ".join(configuration.notes), "Mend the name, or take the line out.")
    else:
        yield ok(
            "settings", f"{sum(source != 'default' for source in configuration.loaded.sources.values())} set, {where}"
        )
    yield data_folder(settings)
    yield free_space(settings)
    yield from _containers(settings, offline=offline)
    yield from api_and_serve(settings)
    seen = None
    if offline:
        yield note("GitHub token", "set, not tried" if settings.github_token else "GITHUB_TOKEN is not set.")
    else:
        findings, seen = github_findings(settings)
        yield from findings
        yield from _keycloak(settings)
    yield clock(seen, datetime.now(UTC))


def _containers(settings: Settings, *, offline: bool) -> Iterator[Finding]:
    """Engine, image, what containers reach, logins: each needs the one before."""
    engine = DockerEngine(settings.docker_host)
    try:
        answers, image = docker_engine(engine), None
        yield answers
        if answers.grade is Grade.OK:
            image = job_image(engine, settings)
            yield image
        works = image is not None and image.grade is Grade.OK
        if works and not offline:
            yield from reach(engine, settings)
        yield from login_findings(settings, look=works and not offline)
    finally:
        engine.close()


def _keycloak(settings: Settings) -> Iterator[Finding]:
    """The realm that issues callers' tokens answers, and has keys."""
    if settings.auth_provider != "keycloak" or settings.oidc_issuer_url is None:
        return
    verifier = OidcVerifier(
        issuer=settings.oidc_issuer_url,
        client_id=settings.oidc_client_id,
        operator_role=settings.oidc_operator_role,
        internal_url=settings.oidc_internal_url,
        ca_file=settings.extra_ca_certs,
    )
    try:
        status = verifier.check(max_age=0)
    finally:
        verifier.close()
    if status.reachable and status.keys:
        yield ok("Keycloak", f"{settings.oidc_issuer_url}, {status.keys} key(s)")
    else:
        seen = status.error or f"{settings.oidc_issuer_url} has no keys."
        yield wrong("Keycloak", seen, "Check OIDC_ISSUER_URL, OIDC_INTERNAL_URL and that Keycloak runs.")
