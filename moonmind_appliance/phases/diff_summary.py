"""The change as a page of Markdown. Pure."""

from msgspec import UNSET

from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_answers import ChangedFile, StagedChange
from moonmind_appliance.printable import replace

LEFT_OUT, TO_CHECK = "Left out of the commit:", "Check these files:"
NESTED = "Nested Git repositories removed before the commit:"
HEADINGS = (LEFT_OUT, TO_CHECK, NESTED)
"""The lines after the table of files, each with a list."""

_STATUS_WORDS = {"A": "added", "M": "modified", "D": "deleted", "T": "type changed"}


def diff_summary(ctx: PhaseContext, change: StagedChange) -> str:
    """Each changed file compared with the base, and which files were left out or need a check, and why."""
    lines = [f"# Change of run {ctx.run.run_id}", ""]
    lines += [f"Base: `{ctx.run.base_branch}` at `{change.base_commit}`", f"Branch: `{ctx.branch}`", ""]
    if not change.changed:
        lines += ["No change: the tree is identical to the base."]
    else:
        lines += ["| file | status | added | removed |", "| --- | --- | ---: | ---: |"]
        lines += [file_row(file) for file in change.files]
        if more := change.file_count - len(change.files):
            lines += ["", f"… and {more} more."]
    if change.left_out:
        lines += ["", LEFT_OUT, ""]
        lines += [f"- `{cell(entry.path)}`: {entry.reason}" for entry in change.left_out]
        lines += _more(change.left_out_count - len(change.left_out))
    if change.warnings:
        lines += ["", TO_CHECK, ""]
        lines += [f"- `{cell(entry.path)}`: {entry.reason}" for entry in change.warnings]
        lines += _more(change.warning_count - len(change.warnings))
    if change.nested_repositories_removed:
        lines += ["", NESTED, ""]
        lines += [f"- `{cell(path)}`" for path in change.nested_repositories_removed]
        lines += _more(change.nested_repository_count - len(change.nested_repositories_removed))
    return "\n".join(lines) + "\n"


def _more(count: int) -> list[str]:
    return ["", f"… and {count} more."] if count > 0 else []


def file_row(file: ChangedFile) -> str:
    """One changed file as a table row, without line counts if it is binary or the change is too large to count."""
    counts = [
        "binary" if count is None else "?" if count is UNSET else str(count) for count in (file.added, file.removed)
    ]
    return f"| `{cell(file.path)}` | {_STATUS_WORDS.get(file.status, file.status)} | {counts[0]} | {counts[1]} |"


def cell(text: str) -> str:
    """Text escaped for a code span in a table, without characters that change its direction."""
    return replace(text).replace("`", "'").replace("|", "\\|")
