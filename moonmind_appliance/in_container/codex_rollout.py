"""Reads facts that only a turn's rollout file contains: the error's machine code and the usage windows."""

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from moonmind_appliance.in_container.shared import open_regular

# Only the end of a rollout is read: it contains the error and the last usage windows.
LARGEST_ROLLOUT = 64 * 1024 * 1024
LONGEST_ROLLOUT_LINE = 64 * 1024
MOST_ROLLOUTS = 100


def own_rollout(codex_home: Path, began: float) -> Path | None:
    """The newest rollout of this turn: a regular file below a CODEX_HOME that only this turn used.

    The inode's change time, which no process can set, must not be before the start of the turn.
    """
    found: list[tuple[float, Path]] = []
    now = time.time()
    for path in codex_home.glob("sessions/[0-9]*/[0-9]*/[0-9]*/rollout-*.jsonl"):
        if len(found) >= MOST_ROLLOUTS:
            break
        try:
            seen = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(seen.st_mode) and began - 2 <= seen.st_ctime <= now + 2:
            found.append((seen.st_ctime, path))
    return max(found, default=(0.0, None))[1]


def rollout_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a rollout's last part, without lines too long for an event of Codex."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - LARGEST_ROLLOUT))
    whole = True
    while line := file.readline(LONGEST_ROLLOUT_LINE):
        ended = line.endswith(b"\n")
        if whole and (ended or len(line) < LONGEST_ROLLOUT_LINE):
            yield line
        elif whole and b'"response_item"' in line[:200]:
            # Only the type of this item matters.
            yield b'{"type":"response_item"}'
        whole = ended


def rollout_report(codex_home: Path, began: float) -> dict[str, object]:
    """Facts that only the turn's rollout file contains: the error's machine code and the usage windows.

    The agent can write to that file: only values of the shape that Codex writes are passed on, and the reader checks
    them again.
    """
    report: dict[str, object] = {}
    path = own_rollout(codex_home, began)
    file = None if path is None else open_regular(path)
    if file is None:
        return report
    with file:
        for line in rollout_lines(file):
            if b'"event_msg"' not in line or (b'"token_count"' not in line and b"codex_error_info" not in line):
                # A limit reported right before the error belongs to it; one followed by other items does not.
                if b'"response_item"' in line:
                    report.pop("limit_told", None)
                continue
            try:
                entry = json.loads(line)
                payload = entry["payload"] if entry["type"] == "event_msg" else {}
                limits = payload.get("rate_limits") if payload.get("type") == "token_count" else None
                error = payload.get("error")
                info = error.get("codex_error_info") if isinstance(error, dict) else payload.get("codex_error_info")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if limits:
                report["rate_limits"] = flat(limits)
                report["limit_told"] = True
            if info:
                report["codex_error_info"] = flat(info)
    return report


def flat(value: object, levels: int = 3) -> object:
    """The value without parts that are deeper, longer or wider than in Codex's own events."""
    if isinstance(value, dict):
        return {str(key)[:64]: flat(value[key], levels - 1) for key in list(value)[:32]} if levels else {}
    if isinstance(value, str):
        return value[:256]
    # NaN and infinity are not JSON; true and false are.
    if isinstance(value, int | float) and abs(value) < float(1 << 63):
        return value
    return None
