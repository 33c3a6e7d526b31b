"""The line that a turn's program prints after the agent's own lines."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.login_volume import digest
from moonmind_appliance.in_container.shared import answer, read_regular

REPORT_TYPE = "moonmind.report"
LARGEST_FILE = 4 * 1024 * 1024


def read_text(path: Path) -> str | None:
    """A regular file's text; None for anything else, including a link."""
    content = read_regular(path, LARGEST_FILE)
    return None if content is None else content.decode(errors="replace")


def files_to_report(repository: Path, names: list[str], feature: str | None) -> dict[str, str]:
    """The requested files by their path in the repository, with `{feature}` replaced.

    Without a feature, paths that contain `{feature}` are left out.
    """
    found = {}
    for name in names:
        if "{feature}" in name and feature is None:
            continue
        actual = name.replace("{feature}", feature or "")
        text = read_text(repository / actual)
        if text is not None:
            found[actual] = text
    return found


def report(
    repository: Path,
    login: Path,
    names: list[str],
    more: Mapping[str, object],
    *,
    feature: str | None,
    feature_problem: str = "",
) -> None:
    """Print login digest, feature, the requested files and `more`. The agent's last line may be incomplete."""
    line: dict[str, Any] = {
        "type": REPORT_TYPE,
        **more,
        "login_digest": digest(login),
        "feature": feature,
        "feature_problem": feature_problem,
        "files": files_to_report(repository, names, feature),
    }
    sys.stdout.write("\n")
    answer(line)
