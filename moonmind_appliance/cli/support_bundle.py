"""`support-bundle`: one redacted archive for a bug report."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import msgspec
from rich.console import Group
from rich.text import Text

from moonmind_appliance.archive import ArchiveWriter, private_file, refuse_existing, work_folder
from moonmind_appliance.attach import attach
from moonmind_appliance.cli import bundle_parts as parts
from moonmind_appliance.cli.backup import archive_to_stdout
from moonmind_appliance.cli.bundle_parts import MOST_BYTES, Part, collected
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.configuration import raw_secrets
from moonmind_appliance.cli.doctor import findings_of
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.system_user import system_actor
from moonmind_appliance.cli.terminal import clean, table
from moonmind_appliance.cli.version import versions
from moonmind_appliance.errors import ApplianceError, SettingsError, StoreError
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings, secrets_of
from moonmind_appliance.store import Store
from moonmind_appliance.units import size
from moonmind_appliance.views.run_summary import find_run

README = """\
A support bundle of the MoonMind appliance, made on {at}.

Every file was redacted: known secrets, text that looks like a secret and values after words such as `password=` are
replaced by [redacted:...], e-mail addresses by [e-mail]{repositories}.
Redaction is not complete: look at the files before you send them.

Not in it: ChatGPT logins, API tokens, the env file, the database{texts}.
In it: settings, names of callers, branches, hosts and folders, times, messages of agents, Git and GitHub.
"""
_MOST_REPOSITORIES = 2000
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
# What people write as a password, whatever it looks like: `password=x`, `"secret": "x"`, `PGPASSWORD: 'x'`.
_ASSIGNED = re.compile(
    r"((?:password|passwd|passphrase|pwd|secret|api[_-]?key)[\"'\\]{0,4}[ \t]{0,8}[:=][ \t]{0,8}[\"'\\]{0,4})"
    r"(?!\[redacted|\*\*\*)[^\s\"'\\,;&]{3,}",
    re.IGNORECASE,
)
_CUT = "\n[moonmind: cut here; the file has more]\n"


class BundledFile(msgspec.Struct, frozen=True):
    """A file of the bundle, after redaction."""

    name: str
    size_bytes: int
    what: str


class Answer(msgspec.Struct, frozen=True):
    """The answer in JSON."""

    file: str
    files: list[BundledFile]


@click.command(
    cls=Command,
    examples=[
        ("For a bug report", f"{PROGRAM} support-bundle"),
        ("With what is known about a run that failed", f"{PROGRAM} support-bundle --run 5b0c6a5e"),
        ("Look at it before you send it", f"{PROGRAM} support-bundle bundle.tar.gz\ntar -xzOf bundle.tar.gz | less"),
    ],
)
@click.argument(
    "file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--run", "runs", metavar="RUN", multiple=True, help="Add this run's detail and events; repeatable.")
@click.option("--artifacts", is_flag=True, help="Add the artifacts of these runs: logs, diffs, agent output.")
@click.option("--texts", is_flag=True, help="Add the specifications of these runs.")
@click.option("--repositories", is_flag=True, help="Keep the names of repositories; else they are numbered.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.pass_obj
def support_bundle(
    invocation: Invocation,
    file: Path | None,
    runs: Sequence[str],
    *,
    artifacts: bool,
    texts: bool,
    repositories: bool,
    force: bool,
) -> Exit:
    """Write one redacted archive for a bug report; - is stdout.

    Contains versions, settings with masked secrets, the findings of `doctor --offline`, shards, recent events and log
    lines, and figures about the database. Everything is redacted again, and the names of repositories are replaced by
    numbers. Specifications and artifacts are added only on request. Nothing is sent: look at the archive first. Works
    while `serve` runs, and if settings, database or Docker engine cannot be used.
    """
    if (artifacts or texts) and not runs:
        raise click.UsageError("--artifacts and --texts need --run.", click.get_current_context())
    now = datetime.now(UTC)
    path = file or Path(f"moonmind-support-{now:%Y%m%d-%H%M%S}.tar.gz")
    to_stdout = str(path) == "-"
    if not to_stdout:
        refuse_existing(path, replace=force)
    if not path.parent.is_dir():
        raise CommandFailed(f"The folder {path.parent} does not exist.", hint="Create it first.", code=Exit.USAGE)
    with ExitStack() as opened:
        settings, resources = _open(invocation, opened)
        names = [] if repositories else _repositories(settings, resources)
        redactor = Redactor(secrets_of(settings) if settings else {})
        for name, value in raw_secrets(invocation.environment, invocation.env_file):
            redactor.add(name, value)
        gate = Gate(redactor, names)
        chosen = list(_parts(invocation, settings, resources))
        for run in runs:
            if resources is None:
                raise CommandFailed("The database cannot be used: --run needs it.", hint="Omit --run.")
            run_id = find_run(resources.store, system_actor(), run)
            chosen += parts.run_parts(resources, run_id, texts=texts, artifacts=artifacts)
        about = README.format(
            at=f"{now:%Y-%m-%d %H:%M} UTC",
            repositories=""
            if repositories
            else ",\nnames of repositories that the database or the settings contain by numbers",
            texts="" if texts else ", specifications, callers' references of runs (external_ref)",
        )
        chosen.insert(0, Part("README.txt", "what this is", lambda: about))
        written = []
        with ExitStack() as target:
            if to_stdout:
                sink = target.enter_context(archive_to_stdout(invocation))
            else:
                work = target.enter_context(work_folder(path.parent))
                sink = target.enter_context(private_file(path, work, replace=force))
            archive = ArchiveWriter(sink, at=now.timestamp())
            for part in chosen:
                content = gate.cleaned(collected(part))
                archive.add(part.name, content)
                written.append(BundledFile(part.name, len(content), part.what))
            archive.close()
    _print(invocation, path, written, with_texts=texts or artifacts)
    return Exit.OK


class Gate:
    """Redacts everything that goes into the bundle.

    Args:
        redactor: knows the settings' secrets.
        repositories: names to replace by numbers, in any case.
    """

    def __init__(self, redactor: Redactor, repositories: Collection[str]) -> None:
        self._redactor = redactor
        self._numbers = {name.casefold(): f"repository-{number}" for number, name in enumerate(repositories, 1)}
        longest_first = sorted(map(re.escape, self._numbers), key=len, reverse=True)
        self._repositories = re.compile(rf"(?<![\w.-])(?:{'|'.join(longest_first)})(?![\w-])", re.IGNORECASE)

    def cleaned(self, content: object) -> bytes:
        """The content as the bytes of a file: a text or bytes as they are, everything else as JSON."""
        if isinstance(content, str):
            content = content.encode(errors="replace")
        if isinstance(content, bytes):
            return self._bytes(content)
        plain = self._value(msgspec.to_builtins(content))
        # A secret may also be spread over several values.
        return self._redactor.redact(msgspec.json.format(msgspec.json.encode(plain), indent=2))

    def text(self, text: str) -> str:
        """The text without secrets, e-mail addresses and names of repositories."""
        text = _ASSIGNED.sub(r"\1[redacted:password]", self._redactor.redact_text(text))
        text = _EMAIL.sub("[e-mail]", text)
        if self._numbers:
            text = self._repositories.sub(lambda found: self._numbers[found[0].casefold()], text)
        return text

    def _bytes(self, content: bytes) -> bytes:
        # Redact before the cut: a secret that was cut would not be recognised.
        cleaned = self.text(content.decode(errors="replace"))
        return (cleaned if len(cleaned) <= MOST_BYTES else cleaned[:MOST_BYTES] + _CUT).encode()

    def _value(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case list():
                return [self._value(each) for each in value]
            case dict():
                return {self.text(str(key)): self._value(each) for key, each in value.items()}
            case _:
                return value


def _open(invocation: Invocation, opened: ExitStack) -> tuple[Settings | None, Resources | None]:
    """What can be used of settings and database."""
    try:
        settings = invocation.settings(demanded=False)
    except SettingsError:
        return None, None
    try:
        if not Store.exists(settings.moonmind_data_dir):
            return settings, None
        return settings, opened.enter_context(attach(settings))
    except (ApplianceError, OSError):
        return settings, None


def _repositories(settings: Settings | None, resources: Resources | None) -> list[str]:
    """The names of repositories that are known."""
    found = [] if settings is None else list(settings.spec_workflow_github_repository)
    if resources is not None:
        with suppress(StoreError):
            found += resources.store.run_lists.repositories(_MOST_REPOSITORIES)
    return list(dict.fromkeys(name.casefold() for name in found))


def _parts(invocation: Invocation, settings: Settings | None, resources: Resources | None) -> Iterator[Part]:
    yield Part(
        "versions.json", "versions of the appliance and its tools", lambda: versions(invocation, settings or Settings())
    )
    yield Part("machine.json", "operating system, Python, SQLite", parts.machine)
    yield Part(
        "settings.json",
        "settings, secrets masked",
        lambda: parts.settings_table(invocation.configuration(demanded=False)),
    )
    found: list[object] = []
    yield Part("doctor.json", "findings of `doctor --offline`", lambda: _doctor(invocation, found), 60, found)
    if settings is not None:
        yield Part("data_folder.json", "files and free space", lambda: parts.data_folder(settings))
        yield Part("database.json", "figures and check of the database", lambda: parts.database(settings), 60)
    if resources is not None:
        yield Part("shards.json", "logins, quota", lambda: parts.shards(resources))
        yield Part("events.jsonl", f"the last {parts.EVENTS:,} events", lambda: parts.recent_events(resources))
    yield Part("service.log", f"the last {parts.LOG_LINES:,} lines of the journal", parts.service_log)
    logs = [parts.INSTALL_LOG] + ([settings.moonmind_data_dir / "tui-errors.log"] if settings else [])
    for path in logs:
        # Path.is_file raises PermissionError in a folder of another user.
        if os.path.isfile(path):  # noqa: PTH113
            yield Part(path.name, "its end", partial(parts.file_tail, path))


def _doctor(invocation: Invocation, found: list[object]) -> list[object]:
    found += findings_of(invocation, offline=True, repository=None)
    return found


def _print(invocation: Invocation, path: Path, files: list[BundledFile], *, with_texts: bool) -> None:
    shown = table("FILE", "SIZE", "CONTENT", right={"SIZE"})
    for each in files:
        shown.add_row(clean(each.name), size(each.size_bytes), each.what)
    texts = " It contains texts of your runs." if with_texts else ""
    name = "FILE" if str(path) == "-" else str(path)
    end = (
        f"\n{name} was written, and nothing was sent.{texts} Redaction is not complete: look at it before you send it, "
        f"for example with `tar -xzOf {name} | less`."
    )
    if str(path) == "-":
        invocation.err.print(Group(shown, Text(end)))
    else:
        invocation.print_result(Answer(str(path), files), Group(shown, Text(end)))
