"""The patch of a run, created by git itself."""

import subprocess

import pytest

from moonmind_appliance.phases.diff_summary import HEADINGS
from tui.patch import Patch, RowKind, notes_of, read_patch, summary


@pytest.fixture
def patch(tmp_path):
    def git(*words):
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=tmp_path, check=True, capture_output=True
        ).stdout

    git("init", "-q")
    (tmp_path / "gone.md").write_text("-- a rule\nbye\n")
    (tmp_path / "kept.md").write_text("one\ntwo\nthree\n")
    git("add", "-A")
    git("commit", "-qm", "base")
    (tmp_path / "gone.md").unlink()
    (tmp_path / "kept.md").write_text("one\n++ 2\nthree")
    (tmp_path / "specs/001 a").mkdir(parents=True)
    (tmp_path / "specs/001 a/spec.md").write_text("# Spec\n\nÜber\n")
    (tmp_path / "empty\n.txt").write_text("")
    git("add", "-A")
    return git("diff", "--cached", "--no-renames", "--full-index", "--text")


def test_every_file_with_its_status_and_counts(patch):
    """Including an empty file, a blank in a path, and a line break in a name."""
    found = [(file.path, file.status, file.added, file.removed) for file in read_patch(patch).files]
    assert found == [
        ("empty\n.txt", "added", 0, 0),
        ("gone.md", "deleted", 0, 2),
        ("kept.md", "modified", 2, 2),
        ("specs/001 a/spec.md", "added", 3, 0),
    ]


def test_lines_that_look_like_headers_are_lines(patch):
    """A removed `-- a rule` is shown as `--- a rule`, an added `++ 2` as `+++ 2`."""
    rows = read_patch(patch).rows
    assert (RowKind.REMOVED, "--- a rule") in rows
    assert (RowKind.ADDED, "+++ 2") in rows


def test_signs_and_context_are_kept(patch):
    """Colour is never the only sign."""
    file = read_patch(patch).files[2]
    rows = read_patch(patch).rows[file.row : file.end]
    assert [(row.kind.value, row.text) for row in rows] == [
        ("file", "kept.md  modified, +2 -2"),
        ("hunk", "@@ -1,3 +1,3 @@"),
        ("same", " one"),
        ("removed", "-two"),
        ("removed", "-three"),
        ("added", "+++ 2"),
        ("added", "+three"),
        ("note", "\\ No newline at end of file"),
    ]


def test_the_text_of_an_added_file(patch):
    """Found by the end of its path; a patch does not contain the whole text of a modified file."""
    found = read_patch(patch)
    assert found.added_text("spec.md") == "# Spec\n\nÜber\n"
    assert found.added_text("ec.md") is None
    assert found.added_text("kept.md") is None


def test_the_summary_names_every_file(patch):
    """Letter, counts, bar, path."""
    assert summary(read_patch(patch))[0] == "4 files changed, 5 lines added, 4 removed."
    assert summary(read_patch(patch))[3:] == [
        " M +2 -2 +++++----- kept.md",
        " A +3 -0 ++++++++   specs/001 a/spec.md",
    ]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"not a patch\n", b"@@ -1 +1 @@\n-a\n+b\n", b"\xff\x00"])
def test_text_that_is_not_a_patch_has_no_files(content):
    """And raises no error."""
    assert read_patch(content).files == []
    assert summary(Patch([], [])) == ["No file changed."]


def test_files_left_out_of_the_commit():
    """The lines of diff_summary.md after its table."""
    text = "# Change\n\n| file |\n\nLeft out of the commit:\n\n- `x.key`: a secret\n"
    assert notes_of(text) == ["Left out of the commit:", "- `x.key`: a secret"]
    for heading in HEADINGS:
        assert notes_of(f"# Change\n\n{heading}\n\n- `x`\n") == [heading, "- `x`"]
    assert notes_of("# Change\n") == []
