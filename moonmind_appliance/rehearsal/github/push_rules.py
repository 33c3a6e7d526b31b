"""GitHub's rules for a push, as git's proc-receive hook: reports for each ref why it is refused, or accepts it.

A program of its own, run by git in the bare repository with the interpreter's standard library only. The rules come as
JSON in REHEARSAL_PUSH_RULES: `decline` (the refusal of every push), `protected` (branches) and `protection` (their
refusal), `warning` (printed for an accepted push), `workflow_scope` (whether the token may change workflows), `app`
(whether it is a GitHub App's). A refusal is GitHub's text and the reason. The protocol with git is described in
githooks(5), "proc-receive".
"""

import json
import os
import subprocess
import sys
from typing import BinaryIO

_LENGTH_DIGITS = 4
_NOTHING = "0"


def read_lines(stream: BinaryIO) -> list[str]:
    """Read the pkt-lines up to the next flush."""
    lines = []
    while (length := int(stream.read(_LENGTH_DIGITS) or b"0", 16)) > _LENGTH_DIGITS:
        lines.append(stream.read(length - _LENGTH_DIGITS).decode().rstrip("\n"))
    return lines


def write_lines(stream: BinaryIO, lines: list[str]) -> None:
    """Write these pkt-lines and a flush."""
    for line in lines:
        data = line.encode()
        stream.write(b"%04x%s" % (len(data) + _LENGTH_DIGITS, data))
    stream.write(b"0000")
    stream.flush()


def changed_workflow(new: str) -> str | None:
    """The first workflow file changed by commits that are new to this repository."""
    if not new.strip(_NOTHING):
        return None
    # A constant command; the object id is git's own.
    log = subprocess.run(  # noqa: S603
        ["git", "log", "-m", "--format=", "--name-only", new, "--not", "--branches", "--", ".github/workflows"],  # noqa: S607 - git is on the PATH of git's own hook
        capture_output=True,
        text=True,
        check=True,
    )
    return min(log.stdout.split("\n\n")[0].splitlines(), default=None)


def refusal(ref: str, new: str, rules: dict[str, object]) -> str | None:
    """Why the ref must not become `new`, as GitHub's message, or None."""
    protected = rules.get("protected")
    branch = ref.removeprefix("refs/heads/")
    declined = rules.get("decline") or (isinstance(protected, list) and branch in protected and rules["protection"])
    if isinstance(declined, list):
        text, reason = declined
        sys.stderr.buffer.write(text.format(ref=ref, new=new).encode())
        return str(reason)
    if not rules.get("workflow_scope") and (path := changed_workflow(new)):
        if rules.get("app"):
            return (
                f"refusing to allow a GitHub App to create or update workflow `{path}` without `workflows` permission"
            )
        return (
            f"refusing to allow a Personal Access Token to create or update workflow `{path}` without `workflow` scope"
        )
    sys.stderr.buffer.write(str(rules.get("warning") or "").encode())
    return None


def main() -> None:
    """Answer one push."""
    rules = json.loads(os.environ.get("REHEARSAL_PUSH_RULES", "{}"))
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    read_lines(stdin)
    write_lines(stdout, ["version=1\0"])
    answers = []
    for command in read_lines(stdin):
        _, new, ref = command.split(" ", 2)
        if why := refusal(ref, new, rules):
            answers.append(f"ng {ref} {why}")
        else:
            answers += [f"ok {ref}", "option fall-through"]
    write_lines(stdout, answers)


if __name__ == "__main__":
    main()
