"""The command `doctor`: runs all checks in sequence and shows a table."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import click
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from moonmind_appliance.attach import attach
from moonmind_appliance.checks import Finding, Level, run_checks, setting_problems
from moonmind_appliance.checks.finding import note, ok
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.layout import Rows
from moonmind_appliance.cli.terminal import MARKS, STYLES, clean, line, table
from moonmind_appliance.errors import ApplianceError, SettingsError
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings

_OTHER_LINES = 3


@click.command(
    cls=Command,
    examples=[
        ("Everything", f"{PROGRAM} doctor"),
        ("A repository before its first run", f"{PROGRAM} doctor --repository acme/shop"),
        ("Before LOGIN_BROKER=true", f"{PROGRAM} doctor --broker"),
        ("Without network access", f"{PROGRAM} doctor --offline"),
        ("Only the problems, for a script", f"{PROGRAM} doctor --json | jq '.[] | select(.grade == \"wrong\")'"),
    ],
)
@click.option("--offline", is_flag=True, help="Do not contact GitHub or Keycloak, and start no container.")
@click.option(
    "--repository", metavar="OWNER/NAME", help="Also check this repository, and which Spec Kit runs use there."
)
@click.option(
    "--broker",
    is_flag=True,
    help="Also compare OpenAI's answers with and without a login broker, to decide on LOGIN_BROKER.",
)
@click.pass_obj
def doctor(invocation: Invocation, *, offline: bool, repository: str | None, broker: bool) -> Exit:
    """Check everything that a run needs, and show how to fix problems.

    Checks settings, data folder, disk, database, Docker engine, job image, what job containers can reach, the wall
    around agents, the shards' logins, the API's address, `serve`, the webhook, the GitHub token and the repositories,
    Keycloak, and the clock. Each finding is shown as soon as it is known. A missing job network or login volume is
    created; test containers are removed. The exit code is 1 when a check found a problem.

    With --broker, Codex asks OpenAI for the account's usage and models: directly, and through a login broker. It needs
    a shard that is signed in and that no run uses, takes about ten seconds, and does no model turn.
    """
    if offline and broker:
        raise click.UsageError("--broker needs OpenAI: it cannot be used with --offline.", click.get_current_context())
    if offline and repository is not None:
        raise click.UsageError(
            "--repository needs GitHub: it cannot be used with --offline.", click.get_current_context()
        )
    findings = _show_as_found(
        invocation, findings_of(invocation, offline=offline, repository=repository, broker=broker)
    )
    bad = sum(finding.level is Level.WRONG for finding in findings)
    if bad:
        end = Text(f"\n{bad} of {len(findings)} checks found a problem.", "bold red")
    else:
        end = Text("\nEverything that a run needs is available.", "bold green")
    invocation.print_result(findings, Group(_table(findings), end))
    return Exit.FAILED if bad else Exit.OK


def _show_as_found(invocation: Invocation, findings: Iterator[Finding]) -> list[Finding]:
    """All findings; on a terminal the latest ones are shown during the checks, as a slow network takes a minute."""
    found: list[Finding] = []
    if not invocation.err.is_terminal:
        return list(findings)
    working = Spinner("dots", Text("Checking …", "dim"), style="cyan")
    with Live(working, console=invocation.err, refresh_per_second=8, transient=True) as live:
        for finding in findings:
            found.append(finding)
            room = max(1, invocation.err.size.height - _OTHER_LINES)
            live.update(Group(*(_line(each) for each in found[-room:]), working))
    return found


def _line(finding: Finding) -> Text:
    style = STYLES[finding.level]
    observation = f"{line(finding.check)}: {line(finding.observed)}"
    return Text.assemble((f"{MARKS[finding.level]} ", style), observation, no_wrap=True, overflow="ellipsis")


def _table(findings: Sequence[Finding]) -> Rows:
    shown = table("", "CHECK", "SEEN", "TO DO", below="TO DO")
    for finding in findings:
        style = STYLES[finding.level]
        shown.add_row(
            Text(MARKS[finding.level], style),
            Text(clean(finding.check), "bold" if finding.level is Level.WRONG else ""),
            clean(finding.observed),
            Text(clean(finding.to_do), style if finding.level is Level.WRONG else "dim"),
        )
    return shown


def findings_of(
    invocation: Invocation, *, offline: bool, repository: str | None, broker: bool = False
) -> Iterator[Finding]:
    """All findings, those about the settings first, each as soon as it is known."""
    try:
        configuration = invocation.configuration()
    except SettingsError as error:
        yield from setting_problems(error.problems)
        return
    where = str(configuration.env_file or "the environment only")
    if configuration.warnings:
        yield note("settings", " ".join(configuration.warnings), "Correct the name, or remove the line.")
    else:
        yield ok(
            "settings", f"{sum(source != 'default' for source in configuration.loaded.sources.values())} set, {where}"
        )
    with ExitStack() as stack:
        resources, problem = _attach(configuration.settings, stack)
        yield from run_checks(
            configuration.settings, resources, problem=problem, offline=offline, repository=repository, broker=broker
        )


def _attach(settings: Settings, stack: ExitStack) -> tuple[Resources | None, ApplianceError | None]:
    """The resources, or why there are none. A check does not create a missing data folder."""
    try:
        if not settings.moonmind_data_dir.exists():
            return None, None
        return stack.enter_context(attach(settings)), None
    except ApplianceError as error:
        return None, error
    except OSError:
        # The check of the data folder reports why.
        return None, None
