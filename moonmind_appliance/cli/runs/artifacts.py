"""`runs artifacts`: lists and downloads a run's files."""

from pathlib import Path

import click
import msgspec
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, run_argument
from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.runs.connect import access_options, open_access
from moonmind_appliance.cli.terminal import clean, clock, table
from moonmind_appliance.download import BadName, DownloadFolder, Incomplete
from moonmind_appliance.units import size
from moonmind_appliance.views.run_detail import ArtifactSummary


class Downloaded(ArtifactSummary, frozen=True):
    """A downloaded artifact, and the path it was written to."""

    path: str


@click.command(
    cls=Command,
    examples=[
        ("List them", f"{PROGRAM} runs artifacts latest"),
        ("Download all to a folder", f"{PROGRAM} runs artifacts 5b0c6a5e --download ./run"),
        ("Download only the change summary", f"{PROGRAM} runs artifacts 5b0c6a5e --name diff_summary.md --download ."),
    ],
)
@run_argument
@click.option(
    "--download",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save the files in this folder. It is created if missing; files with the same names are replaced.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Only the artifact with this name; may be repeated."
)
@access_options
@click.pass_obj
def artifacts(  # noqa: PLR0917 - click calls by name
    invocation: Invocation,
    server: str | None,
    token_file: Path | None,
    run: str,
    download: Path | None,
    names: tuple[str, ...],
) -> None:
    """List or download a run's artifacts.

    Secrets are redacted before anything is stored. Artifacts are kept for ARTIFACT_RETENTION after the run ends, by
    default a week.
    """
    with open_access(invocation, server, token_file) as access:
        run_id = access.find(run)
        found = [artifact for artifact in access.detail(run_id).artifacts if not names or artifact.name in names]
        if missing := sorted(set(names) - {artifact.name for artifact in found}):
            raise CommandFailed(
                f"Run {run_id[:8]} has no artifact {', '.join(missing)}.",
                hint=f"`{PROGRAM} runs artifacts {run_id[:8]}` lists them.",
            )
        written = []
        if download is not None:
            try:
                with DownloadFolder(download) as folder:
                    for artifact in found:
                        path = str(_download(access, run_id, artifact, folder))
                        written.append(Downloaded(**msgspec.structs.asdict(artifact), path=path))
                        invocation.print_detail(path)
            except OSError as error:
                raise CommandFailed(
                    f"{download} cannot be written ({error.strerror}).", hint="Check the folder and its free space."
                ) from error
    if download is not None:
        invocation.print_result(written, Text(f"{len(found)} file{'s' * (len(found) != 1)} in {download}"))
        return
    shown = table("NAME", "TYPE", "SIZE", "KEPT UNTIL", right={"SIZE"})
    for artifact in found:
        kept = clock(artifact.expires_at) or "the run ends"
        shown.add_row(clean(artifact.name), Text(artifact.artifact_type, "dim"), size(artifact.size_bytes), kept)
    invocation.print_result(found, shown if found else Text("The run has no artifacts.", "dim"))


def _download(access: RunAccess, run_id: str, artifact: ArtifactSummary, folder: DownloadFolder) -> Path:
    """Save one artifact under its name."""
    # A log that still grows has no checksum yet. If it ends after this line, it is saved without a check.
    sha256 = access.artifact(run_id, artifact.artifact_id).sha256
    try:
        return folder.save(artifact.name, access.content(run_id, artifact.artifact_id), sha256=sha256)
    except BadName:
        raise CommandFailed(
            f"The artifact's name {clean(artifact.name)!r} is not a safe file name.", hint="Nothing was written."
        ) from None
    except Incomplete:
        raise CommandFailed(f"{clean(artifact.name)} was not downloaded completely.", hint="Try again.") from None
