"""`runs submit`: submits a specification."""

from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.runs.run_text import accepted_text
from moonmind_appliance.cli.runs.watch import follow
from moonmind_appliance.cli.specification import read_specification
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.runs.submit import SubmitRequest


@click.command(
    cls=Command,
    examples=[
        (
            "Submit, and wait for the pull request",
            f"{PROGRAM} runs submit --repository owner/name --spec spec.md --wait",
        ),
        (
            "From another program",
            f"generate-spec | {PROGRAM} runs submit --repository owner/name --spec - --json",
        ),
        (
            "In a CI job, safe to repeat",
            f'{PROGRAM} runs submit --repository owner/name --spec spec.md --wait --idempotency-key "$CI_JOB_ID"',
        ),
    ],
)
@click.option("--repository", required=True, metavar="OWNER/NAME", help="The GitHub repository.")
@click.option(
    "--spec",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The specification, in UTF-8; - reads stdin. Passed to the agent unchanged, but without a byte order mark.",
)
@click.option("--base-branch", default="main", show_default=True, metavar="NAME", help="The branch to start from.")
@click.option("--dry-run", is_flag=True, help="Do everything up to the commit; push nothing, open no pull request.")
@click.option(
    "--external-ref", metavar="TEXT", help="Your own reference, to find the run later (`runs list --external-ref`)."
)
@click.option("--shard", type=click.IntRange(0), metavar="N", help="Run on this shard only.")
@click.option("--idempotency-key", metavar="KEY", help="Repeating the request with the same key returns the first run.")
@click.option("--wait", is_flag=True, help="Follow the run until it ends; exit code 7 if it fails.")
@access_options
@click.pass_obj
def submit(  # noqa: PLR0917 - click calls by name
    invocation: Invocation,
    server: str | None,
    token_file: Path | None,
    repository: str,
    spec: Path,
    base_branch: str,
    external_ref: str | None,
    shard: int | None,
    idempotency_key: str | None,
    *,
    dry_run: bool,
    wait: bool,
) -> Exit:
    """Submit a specification; with --wait, follow it to its end.

    When the command returns, the run is stored and survives a restart of the appliance. With --json it prints the
    API's response: `run_id`, `status`, `accepted_at`; with --wait, the complete run after it has ended.
    """
    request = SubmitRequest(
        repository=repository,
        specify_text=read_specification(spec),
        base_branch=base_branch,
        dry_run=dry_run,
        external_ref=external_ref,
        shard=shard,
    )
    with open_access(invocation, server, token_file, creates=True) as access:
        accepted = access.submit(request, idempotency_key)
        run_id = accepted.run_id
        if wait:
            return follow(invocation, access, run_id, first_line=f"Run {clean(run_id)} is accepted.")
        message = accepted_text(access, run_id, Text.assemble("Run ", (clean(run_id), "bold"), " is accepted."))
    message.append(f"\nFollow it: {PROGRAM} runs watch {clean(run_id[:8])}")
    invocation.print_result(accepted, message)
    return Exit.OK
