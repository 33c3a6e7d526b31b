"""Every line that a change adds is searched, and reported by file and line."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonmind_appliance.phases.credential_audit import added_text

_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
}


def git(folder: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, check=True, env=_ENV).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    git(folder, "init", "--quiet")
    return folder


def tree(folder: Path, files: dict[str, bytes]) -> str:
    """A tree of these files, with any name that Git accepts."""
    lines = []
    for name, content in sorted(files.items()):
        blob = subprocess.run(
            ["git", "-C", folder, "hash-object", "-w", "--stdin"],
            input=content,
            capture_output=True,
            check=True,
            env=_ENV,
        ).stdout.strip()
        lines.append(b"100644 blob " + blob + b"\t" + name.encode() + b"\0")
    made = subprocess.run(
        ["git", "-C", folder, "mktree", "-z"], input=b"".join(lines), capture_output=True, check=True, env=_ENV
    )
    return made.stdout.decode().strip()


def patch(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> bytes:
    """The patch as the git container creates it."""
    plain = ["--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"]
    return git(folder, "diff-tree", "-r", "-p", "--text", "--full-index", *plain, tree(folder, old), tree(folder, new))


# Lines that look like a patch's own, and bytes that are not text.
LINES = st.sampled_from(
    [
        b"",
        b" ",
        b"a",
        b"b",
        b"+",
        b"-",
        b"++ b/x",
        b"-- a/x",
        b"+++ b/evil",
        b"--- a/evil",
        b"@@ -1,2 +3,4 @@",
        b"diff --git a/x b/x",
        b"index 000..111",
        b"\\ No newline at end of file",
        b"new file mode 100644",
        b"\r",
        b"x\r",
        b"\0\0",
        b"\xff\xfe",
        "ü\u2028\u0085".encode(),
        b"\x0c\x0b\x1c",
    ]
)
CONTENT = st.builds(
    lambda lines, end: b"\n".join(lines) + (b"\n" if end and lines else b""),
    st.lists(LINES, max_size=12),
    st.booleans(),
)
NAMES = st.sampled_from(
    ["a", "b b", 'q"uote', "tab\there", "new\nline", "ü", "back\\slash", "-dash", "a b/ c".replace("/", "_")]
)
FILES = st.dictionaries(NAMES, CONTENT, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=FILES, new=FILES)
def test_the_added_lines_rebuild_the_new_files(repository: Path, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    """Each added line has its number in the new file, and every added line was found."""
    found: dict[str, dict[int, bytes]] = {}
    for path, first, text in added_text(patch(repository, old, new)):
        for offset, line in enumerate(text.split(b"\n")):
            found.setdefault(path, {})[first + offset] = line
    assert set(found) <= set(new)
    for path, content in new.items():
        lines = dict(enumerate(content.split(b"\n"), start=1))
        for number, line in found.get(path, {}).items():
            assert lines[number] == line
        missed = {line for number, line in lines.items() if number not in found.get(path, {})}
        assert missed <= {*old.get(path, b"").split(b"\n"), b""}


def test_a_secret_over_several_added_lines_stays_in_one_piece(repository: Path) -> None:
    """Adjacent lines form one block, with the number of the first."""
    before = {"key": b"1\n2\n3\n4\n5\n6\n7\n8\n"}
    after = {"key": b"1\n2\n3\n4\nBEGIN\nMIDDLE\nEND\n5\n6\n7\n8\nlast"}
    assert added_text(patch(repository, before, after)) == [("key", 5, b"BEGIN\nMIDDLE\nEND"), ("key", 12, b"last")]


def test_removed_and_renamed_files(repository: Path) -> None:
    """A removed file has no added lines; a renamed one has all of them under its new name."""
    text = b"one\ntwo\n"
    assert added_text(patch(repository, {"a": text}, {})) == []
    assert added_text(patch(repository, {"a": text}, {"b b": text})) == [("b b", 1, b"one\ntwo")]


def test_binary_files_are_searched(repository: Path) -> None:
    """As lines between its line breaks."""
    assert added_text(patch(repository, {}, {"x": b"\0\1SECRET\n\xff"})) == [("x", 1, b"\0\1SECRET\n\xff")]


def test_a_name_that_is_not_text_becomes_json(repository: Path) -> None:
    """Its invalid bytes are replacement characters."""
    blob = subprocess.run(
        ["git", "-C", repository, "hash-object", "-w", "--stdin"],
        input=b"x\n",
        capture_output=True,
        check=True,
        env=_ENV,
    ).stdout.strip()
    made = (
        subprocess.run(
            ["git", "-C", repository, "mktree", "-z"],
            input=b"100644 blob " + blob + b"\t\xffname\0",
            capture_output=True,
            check=True,
            env=_ENV,
        )
        .stdout.decode()
        .strip()
    )
    text = git(repository, "diff-tree", "-r", "-p", "--text", tree(repository, {}), made)
    ((path, number, line),) = added_text(text)
    assert (path, number, line) == ("\ufffdname", 1, b"x")
    assert json.dumps(path, ensure_ascii=False).encode()
