"""Which credentials each container received, what was searched for, and what was found."""

from typing import Any

import msgspec

from moonmind_appliance.in_container.git import shown
from moonmind_appliance.in_container.git_patch import unquote_path
from moonmind_appliance.models import ContainerSpec
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.start_job_container import agent_spec, git_spec
from moonmind_appliance.redaction import Finding
from moonmind_appliance.token_shapes import SHAPES

# One finding stops the push; a longer list would not help the reader.
MOST_FINDINGS = 200


class FoundSecret(msgspec.Struct, frozen=True):
    """Where a change contains a secret; never its value. `line` is None if it is in the name of a file."""

    kind: str
    file: str
    line: int | None = None


def credential_audit(ctx: PhaseContext, *, pushed_with_token: bool, findings: list[FoundSecret]) -> dict[str, Any]:
    """The audit as JSON: names and kinds only, never a value."""
    return {
        "containers": {
            "agent": _given(agent_spec(ctx), tokens_in_exec=[]),
            "git": _given(
                git_spec(ctx),
                tokens_in_exec=["git_clone: GitHub token", *["commit_push: GitHub token"] * pushed_with_token],
            ),
        },
        "searched_for": {
            "values": ctx.redactor.kinds(),
            "shapes": [shape.kind for shape in SHAPES if shape.certain],
        },
        "searched_in": ["every added line of the change", "the names of the changed files"],
        "found": findings,
    }


def _given(spec: ContainerSpec, *, tokens_in_exec: list[str]) -> dict[str, Any]:
    return {
        "user": "1000:1000",
        "root_file_system": "read-only",
        "capabilities": [],
        "docker_socket": False,
        "network": spec.network,
        "environment": sorted(spec.env),
        "mounts": {mount.target: mount.volume for mount in spec.mounts},
        "secrets_in_environment": [],
        "secrets_given_to_single_commands": tokens_in_exec,
    }


def scan_change(ctx: PhaseContext, patch: bytes, paths: list[str]) -> list[FoundSecret]:
    """Secrets in the added lines and file names of a patch: kind, file and line, never the value.

    The first `MOST_FINDINGS` of them.
    """
    found = [FoundSecret(hit.kind, "(a file's name)") for hit in _find_names(ctx, paths)[:MOST_FINDINGS]]
    for path, first_line, text in added_text(patch):
        line, counted = first_line, 0
        for hit in ctx.redactor.find(text):
            # Count from the last finding: counting from the start each time takes quadratic time.
            line += text.count(b"\n", counted, hit.offset)
            counted = hit.offset
            found.append(FoundSecret(hit.kind, ctx.redactor.redact_text(path), line))
            if len(found) >= MOST_FINDINGS:
                return found
    return found


def _find_names(ctx: PhaseContext, paths: list[str]) -> list[Finding]:
    return ctx.redactor.find("\n".join(paths).encode(errors="replace"))


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
