"""`rehearse`: a complete run against stand-ins, with its progress."""

from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.text import Text

from moonmind_appliance.cli import served_rehearsal
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.phase_board import PhaseBoard
from moonmind_appliance.cli.specification import read_specification
from moonmind_appliance.cli.stop_requests import stop_requests
from moonmind_appliance.cli.terminal import clean, facts, state
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.rehearsal.prepare import SAMPLE_SPEC, Progress, RehearsalOptions, RehearsalStopped
from moonmind_appliance.rehearsal.rehearse import RehearsalReport
from moonmind_appliance.rehearsal.rehearse import rehearse as run_rehearsal
from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from moonmind_appliance.runs.submit import field_problems, refusal
from moonmind_appliance.units import duration


class RehearseCommand(Command):
    """Lists the scenarios below the options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options, then scenarios."""
        super().format_options(ctx, formatter)
        with formatter.section("Scenarios"):
            formatter.write_dl([(name, scenario.summary) for name, scenario in SCENARIOS.items()])


@click.command(
    cls=RehearseCommand,
    interface=None,
    examples=[
        ("A complete run with a small sample", f"{PROGRAM} rehearse"),
        (
            "With your own specification and repository",
            f"{PROGRAM} rehearse --spec spec.md --repository ~/src/shop",
        ),
        ("A failure", f"{PROGRAM} rehearse --scenario push-refused"),
        ("Keep an appliance running, for curl, Postman and the terminal", f"{PROGRAM} rehearse --serve"),
        ("Keep everything for inspection", f"{PROGRAM} rehearse --keep"),
        ("In a script", f"{PROGRAM} rehearse --json | jq .as_expected"),
    ],
)
@click.option(
    "--spec",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The specification to submit; - reads stdin.  [default: a sample]",
)
@click.option(
    "--repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder or git repository to work on; it is copied, never changed.  [default: a sample]",
)
@click.option(
    "--scenario",
    type=click.Choice(list(SCENARIOS)),
    default="normal",
    show_default=True,
    metavar="NAME",
    help="Scenario to rehearse; see the scenarios below.",
)
@click.option("--keep", is_flag=True, help="Keep the data folder, the stand-ins' files and the volumes.")
@click.option(
    "--think",
    type=click.FloatRange(0, 60),
    default=0.3,
    show_default=True,
    metavar="SECONDS",
    help="Seconds that the stand-in model waits before each response.",
)
@click.option("--login-broker", is_flag=True, help="With LOGIN_BROKER=true: the agent's container has no login.")
@click.option("--serve", is_flag=True, help="Submit nothing; keep the appliance running until Ctrl-C or SIGTERM.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="The API's port, with --serve.  [default: a free one]"
)
@click.option(
    "--shards",
    type=click.IntRange(1, 3),
    metavar="N",
    help="The number of shards, with --serve; all are signed in.  [default: as the scenario needs]",
)
@click.option(
    "--command-prefix",
    default="",
    metavar="TEXT",
    help="With --serve: what to print in front of the commands, such as `docker compose exec rehearsal`.",
)
@click.pass_obj
def rehearse(
    invocation: Invocation,
    *,
    spec: Path | None,
    repository: Path | None,
    scenario: str,
    keep: bool,
    think: float,
    login_broker: bool,
    serve: bool,
    port: int | None,
    shards: int | None,
    command_prefix: str,
) -> Exit:
    """Do a complete run against local stand-ins, without any account.

    The real Docker engine, git, Codex CLI and Spec Kit work against stand-ins for OpenAI and GitHub on this machine:
    a shard signs in, a run is submitted over HTTP, its nine phases run, and a draft pull request is opened. Nothing
    leaves the machine, no real account, data folder or volume is touched, and everything is removed afterwards. The
    exit code is 0 when the scenario ends as expected, including scenarios that end in a failure.

    With --serve nothing is submitted: the appliance and the stand-ins run until Ctrl-C or SIGTERM. Its addresses,
    tokens, a curl command, and commands for another terminal are printed when it is ready. The exit code is then 0.
    """
    if not serve and (port is not None or shards is not None or command_prefix):
        raise click.UsageError("--port, --shards and --command-prefix need --serve.", click.get_current_context())
    settings = invocation.settings(demanded=False)
    text = SAMPLE_SPEC if spec is None else read_specification(spec)
    submitted = {"specify_text": text}
    if problems := field_problems(submitted, settings, Redactor()):
        raise refusal(problems, submitted)
    options = RehearsalOptions(
        spec=text,
        repository=repository,
        scenario=scenario,
        keep=keep,
        think_seconds=think,
        shards=shards,
        login_broker=login_broker,
    )
    title = f"Rehearsal, scenario {scenario}: {SCENARIOS[scenario].summary}."
    invocation.progress.print(Text(title, "bold"), soft_wrap=True)
    if serve:
        return served_rehearsal.serve(invocation, settings, options, port or 0, command_prefix)
    board = PhaseBoard(invocation.progress)
    with ExitStack() as live, stop_requests() as stopped:

        def show(progress: Progress) -> None:
            if progress.phase is None:
                board.print_line(progress.text)
                return
            if not board.shown:
                live.enter_context(board.live())
            board.phase(progress.phase, progress.status or "")

        try:
            report = run_rehearsal(settings, options, show, stopped)
        except RehearsalStopped:
            raise KeyboardInterrupt from None
    invocation.print_result(report, _shown(report, terminal=invocation.out.is_terminal))
    if not report.as_expected:
        raise CommandFailed(
            f"The rehearsal did not end as expected: {report.problem}",
            hint=f"Run `{PROGRAM} doctor`, or inspect everything with `{PROGRAM} rehearse --keep`.",
        )
    return Exit.OK


def _shown(report: RehearsalReport, *, terminal: bool) -> RenderableType:
    run = report.run
    failure = run["failure"] or {}
    parts: list[RenderableType] = [Text()]
    pairs: list[tuple[str, str | Text]] = [
        ("run", state(run["status"])),
        ("branch", run["branch_name"] or ""),
    ]
    for pull in report.pull_requests:
        kind = "draft pull request" if pull["draft"] else "pull request"
        pairs.append((kind, f"#{pull['number']} {pull['title']}\n{pull['url']}"))
    if not report.pull_requests:
        pairs.append(("pull request", "none, as expected" if report.as_expected else "none"))
    pairs += [
        ("result", run["result_summary"] or ""),
        ("open questions", "\n".join(run["clarifications"])),
        ("failure code", failure.get("code", "")),
        ("who acts", failure.get("who_acts", "")),
        ("next step", failure.get("next_step", "")),
        ("artifacts", report.artifacts_folder or f"{len(run['artifacts'])}, removed at the end (--keep keeps them)"),
        ("kept", report.kept or ""),
    ]
    parts.append(facts(pairs))
    if report.diff_summary:
        summary = clean(report.diff_summary).strip()
        parts += [Text(), Markdown(summary) if terminal else Text(summary)]
    if report.as_expected:
        parts.append(Text(f"\n✔ The rehearsal ended as expected after {duration(report.seconds)}.", "bold green"))
    return Group(*parts)
