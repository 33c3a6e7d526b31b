"""Which credentials each container received, what was searched for, and what was found."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from moonmind_appliance.in_container.egress_record import ALLOWED, REFUSED
from moonmind_appliance.in_container.git import shown
from moonmind_appliance.in_container.git_patch import unquote_path
from moonmind_appliance.models import ContainerSpec
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.egress_record import stored_record
from moonmind_appliance.phases.github_access import github_access
from moonmind_appliance.phases.start_job_container import agent_spec, git_spec
from moonmind_appliance.phases.wall import egress_spec
from moonmind_appliance.secret_rules import KINDS

_MOST_TARGETS = 50
# One finding stops the push; a longer list would not help the reader.
MOST_FINDINGS = 200


class FoundSecret(msgspec.Struct, frozen=True):
    """Where a change contains a secret; never its value.

    `line` is None if the secret is in the file's name. `sha256` is the hash with which the operator can allow the
    value; it is None for a secret that the appliance knows.
    """

    kind: str
    file: str
    line: int | None = None
    sha256: str | None = None


def credential_audit(ctx: PhaseContext, *, pushed_with_token: bool, findings: list[FoundSecret]) -> dict[str, Any]:
    """The audit as JSON: names and kinds only, never a value."""
    proxy = ctx.settings.agent_https_proxy
    egress = {}
    if ctx.settings.agent_wall:
        login = ["egress proxy: login of AGENT_HTTPS_PROXY"] if proxy is not None and proxy.credentials() else []
        egress["egress"] = _given(egress_spec(ctx), tokens_in_exec=login)
    return {
        "containers": {
            "agent": _given(agent_spec(ctx), tokens_in_exec=[]),
            "git": _given(
                git_spec(ctx),
                tokens_in_exec=["git_clone: GitHub token", *["commit_push: GitHub token"] * pushed_with_token],
            ),
            **egress,
        },
        "github": github_access(ctx),
        "egress": _egress(ctx),
        "searched_for": {
            "values": ctx.redactor.kinds(),
            "shapes": KINDS,
        },
        "allowed_sha256": list(ctx.settings.not_secret_sha256),
        "searched_in": ["every added line of the change", "the names of the changed files"],
        "found": findings,
    }


def _egress(ctx: PhaseContext) -> dict[str, Any]:
    """What the agent reached and tried to reach; `egress.json` has the complete list."""
    if not ctx.settings.agent_wall:
        return {"wall": False}
    record = stored_record(ctx)
    return {
        "wall": True,
        "allowed_hosts": record.allowed_hosts,
        "reached": [each.target for each in record.of(ALLOWED)[:_MOST_TARGETS]],
        "refused": [
            {"target": each.target, "reason": each.reason, "connections": each.connections}
            for each in record.of(REFUSED)[:_MOST_TARGETS]
        ],
        "refused_count": sum(each.connections for each in record.of(REFUSED)),
        "bytes_sent": sum(each.sent for each in record.targets),
        "bytes_received": sum(each.received for each in record.targets),
    }


def _given(spec: ContainerSpec, *, tokens_in_exec: list[str]) -> dict[str, Any]:
    return {
        "user": "1000:1000",
        "root_file_system": "read-only",
        "capabilities": [],
        "docker_socket": False,
        "network": spec.network or "none",
        "environment": sorted(spec.env),
        "mounts": {mount.target: mount.volume for mount in spec.mounts},
        "secrets_in_environment": [],
        "secrets_given_to_single_commands": tokens_in_exec,
    }


def scan_change(ctx: PhaseContext, patch: bytes, paths: list[str]) -> list[FoundSecret]:
    """Secrets in the file names and added lines of a patch, the first `MOST_FINDINGS` of them."""
    names = [(path, None, path.encode(errors="replace")) for path in paths]
    return (_scan(ctx, names) + _scan(ctx, added_text(patch)))[:MOST_FINDINGS]


# No known value and no rule matches NUL, so no match extends over two blocks.
_BETWEEN = b"\n\0\n"


def _scan(ctx: PhaseContext, blocks: Sequence[tuple[str, int | None, bytes]]) -> list[FoundSecret]:
    """Secrets in blocks of path, number of the first line (None: a file's name), and text; one search, for speed."""
    begins = list(accumulate((len(text) + len(_BETWEEN) for _, _, text in blocks), initial=0))
    found: list[FoundSecret] = []
    block, counted, line = -1, 0, 0
    for hit in ctx.redactor.find(_BETWEEN.join(text for _, _, text in blocks), ctx.settings.not_secret_sha256):
        if (now := bisect_right(begins, hit.offset) - 1) != block:
            block, counted, line = now, 0, blocks[now][1] or 0
        path, first_line, text = blocks[block]
        # Count from the last finding: counting from the start each time takes quadratic time.
        line += text.count(b"\n", counted, hit.offset - begins[block])
        counted = hit.offset - begins[block]
        in_line = None if first_line is None else line
        found.append(FoundSecret(hit.kind, ctx.redactor.redact_text(path), in_line, hit.sha256))
        if len(found) >= MOST_FINDINGS:
            break
    return found


def added_text(patch: bytes) -> list[tuple[str, int, bytes]]:
    """The added lines of a unified patch, in blocks: path, number of the first line, text.

    Adjacent added lines form one block, so that a secret that spans lines is found.
    """
    runs: list[tuple[str, int, bytes]] = []
    path, number, begun, lines = "", 0, 0, list[bytes]()
    in_hunk = False

    def end() -> None:
        if lines:
            runs.append((path, begun, b"\n".join(lines)))
            lines.clear()

    for line in patch.split(b"\n"):
        if line.startswith(b"diff --git "):
            end()
            in_hunk = False
        elif not in_hunk and line.startswith(b"+++ "):
            path = shown(unquote_path(line[4:].removesuffix(b"\t")))
        elif line.startswith(b"@@ "):
            end()
            in_hunk = True
            number = int(line.split(b"+", 1)[1].split(b" ", 1)[0].split(b",")[0])
        elif in_hunk and line.startswith(b"+"):
            if not lines:
                begun = number
            lines.append(line[1:])
            number += 1
        elif in_hunk:
            end()
            number += line.startswith(b" ")
    end()
    return runs
