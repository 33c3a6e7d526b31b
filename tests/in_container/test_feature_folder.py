"""Which folder a turn of `specify` wrote, judged by the files."""

import json
import os
import time
import unicodedata
from pathlib import Path

import pytest

from moonmind_appliance.in_container.feature_folder import (
    RECORD,
    FolderSearch,
    feature_variables,
    folder_problem,
    write_record,
)

ACCEPTED = [
    "specs/001-dark-mode",
    "docs/specs/001-x",
    ".github/specs/001-x",
    "specs/bugfix/001-x",
    "specs/001-größe",
    "specs/001-用户登录",
    unicodedata.normalize("NFD", "specs/001-größe"),
    "specs/001 with blanks",
    "specs/-rf",
    "specs/$(id);`id`|",
    "specs/001-\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "features",
    "SPECS/001-x",
    "specs/.hidden",
    ".specify/specs/001-x",
    ".specify/features/001-x",
]
REFUSED = {
    "": "root",
    ".": "root",
    "/specs/001-x": "outside the repository",
    "specs/../../etc": "outside the repository",
    "specs/..": "outside the repository",
    "specs//001-x": "an empty or `.` component",
    "specs/./001-x": "an empty or `.` component",
    "specs/001-x/": "an empty or `.` component",
    ".git/001-x": "in a .git folder",
    "specs/.GIT/x": "in a .git folder",
    "specs/git~1": "in a .git folder",
    ".specify/001-x": ".specify is reserved for Spec Kit's",
    ".specify/specs": ".specify is reserved for Spec Kit's",
    ".specify/templates/specs/001-x": ".specify is reserved for Spec Kit's",
    ".agents/001-x": ".agents is reserved for Spec Kit's",
    ".Specify/x": ".Specify is reserved for Spec Kit's",
    "specs/001-x\n": "control or invisible characters",
    "specs/001\0": "control or invisible characters",
    "specs/\u202e001": "control or invisible characters",
    "specs/\u2066001": "control or invisible characters",
    "specs/\udcff": "control or invisible characters",
    "specs/" + "x" * 400: "longer than 400 characters",
}


@pytest.mark.parametrize("directory", ACCEPTED)
def test_any_plain_folder_may_be_the_feature(tmp_path: Path, directory: str) -> None:
    """Found in the files, without a record, under its name on disk."""
    search = FolderSearch(tmp_path)
    specification(tmp_path, directory)
    assert search.result() == {"directory": directory, "problem": ""}


@pytest.mark.parametrize(("directory", "why"), REFUSED.items())
def test_other_folders_are_refused(directory: str, why: str) -> None:
    """The reason is one clause."""
    assert why in folder_problem(directory)


def specification(repository: Path, directory: str, text: str = "# Spec\n") -> None:
    (repository / directory).mkdir(parents=True, exist_ok=True)
    (repository / directory / "spec.md").write_text(text)


def record(repository: Path, directory: object) -> None:
    (repository / ".specify").mkdir(exist_ok=True)
    (repository / RECORD).write_text(json.dumps({"feature_directory": directory}))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """It has a filled feature, and a committed record of it."""
    specification(tmp_path, "specs/001-old", "# Old\n")
    record(tmp_path, "specs/001-old")
    return tmp_path


def found(search: FolderSearch) -> str | None:
    result = search.result()
    assert result["problem"] == ""
    directory: str | None = result["directory"]
    return directory


def test_an_agent_that_only_talks_wrote_nothing(repository: Path) -> None:
    """Although the committed record names a filled feature."""
    assert found(FolderSearch(repository)) is None


def test_a_new_folder_counts_without_a_record(repository: Path) -> None:
    """The committed record still names the old one."""
    search = FolderSearch(repository)
    specification(repository, "specs/002-new")
    assert found(search) == "specs/002-new"


def test_a_changed_specification_counts(repository: Path) -> None:
    """An agent may extend a feature; a file that is written with the same text is not changed."""
    search = FolderSearch(repository)
    specification(repository, "specs/001-old", "# Old\n")
    assert found(search) is None
    specification(repository, "specs/001-old", "# Old\n\nand more\n")
    assert found(search) == "specs/001-old"


def test_of_two_new_folders_the_recorded_one_counts(repository: Path) -> None:
    """If this turn wrote the record."""
    search = FolderSearch(repository)
    specification(repository, "specs/002-a")
    specification(repository, "specs/003-b")
    record(repository, "./specs/002-a/")
    assert found(search) == "specs/002-a"


def test_a_new_folder_comes_before_a_changed_one(repository: Path) -> None:
    """The change to the old one may only be a reference to the new one."""
    search = FolderSearch(repository)
    specification(repository, "specs/002-new")
    later = time.time() + 60
    specification(repository, "specs/001-old", "# Old, replaced by 002\n")
    os.utime(repository / "specs/001-old/spec.md", (later, later))
    assert found(search) == "specs/002-new"


def test_a_folder_with_a_number_comes_before_a_newer_one_without(repository: Path) -> None:
    """Examples and packages may contain a spec.md."""
    search = FolderSearch(repository)
    specification(repository, "specs/002-new")
    later = time.time() + 60
    specification(repository, "examples/demo")
    os.utime(repository / "examples/demo/spec.md", (later, later))
    assert found(search) == "specs/002-new"


def test_a_moved_specification_is_not_new(repository: Path) -> None:
    """An agent may tidy up: what it moved is not what it was asked to write."""
    search = FolderSearch(repository)
    (repository / "specs/archive").mkdir()
    (repository / "specs/001-old").rename(repository / "specs/archive/001-old")
    assert found(search) is None
    specification(repository, "specs/new-feature")
    assert found(search) == "specs/new-feature"


def test_a_folder_that_is_named_by_a_number_alone_is_not_preferred(repository: Path) -> None:
    """Spec Kit's folders have a number, a dash and a name."""
    search = FolderSearch(repository)
    specification(repository, "target/2")
    later = time.time() + 60
    specification(repository, "specs/feature")
    os.utime(repository / "specs/feature/spec.md", (later, later))
    assert found(search) == "specs/feature"


def test_a_record_that_this_turn_wrote_counts_without_a_change(repository: Path) -> None:
    """The specification existed already: the run ends without changes, not with a failure."""
    search = FolderSearch(repository)
    record(repository, "specs/001-old")
    os.utime(repository / RECORD, ns=(1, 1))
    assert found(search) == "specs/001-old"


def test_a_recorded_folder_without_a_specification_is_named(repository: Path) -> None:
    """So that the failure says which file is missing."""
    search = FolderSearch(repository)
    record(repository, "specs/002-empty")
    assert found(search) == "specs/002-empty"


@pytest.mark.parametrize("named", ["specs/001-größe", f"{unicodedata.normalize('NFD', 'specs/001-größe')}/"])
def test_a_record_may_use_another_unicode_normalization(tmp_path: Path, named: str) -> None:
    """As on macOS; the name on disk counts."""
    search = FolderSearch(tmp_path)
    specification(tmp_path, "specs/001-größe")
    specification(tmp_path, "specs/002-later")
    record(tmp_path, named)
    assert found(search) == "specs/001-größe"


def test_an_absolute_record_is_read(repository: Path) -> None:
    """Some agents write the path that the script printed."""
    search = FolderSearch(repository)
    record(repository, str(repository / "specs/001-old"))
    assert found(search) == "specs/001-old"


@pytest.mark.parametrize(
    "written", ["[]", "{", "[" * 100_000, '{"feature_directory": 7}', '{"feature_directory": " "}']
)
def test_an_unreadable_record_is_ignored(repository: Path, written: str) -> None:
    """Whatever the agent wrote into it."""
    search = FolderSearch(repository)
    (repository / RECORD).write_text(written)
    assert found(search) is None
    specification(repository, "specs/002-new")
    assert found(search) == "specs/002-new"


@pytest.mark.parametrize(
    ("directory", "problem"),
    [
        ("specs/001-\x1b[31m", "specs/001-\\x1b[31m: its name contains control or invisible characters"),
        (".", ".: it is the repository's root, and a feature needs a folder of its own"),
    ],
)
def test_a_refused_folder_is_named(tmp_path: Path, directory: str, problem: str) -> None:
    """With unprintable characters escaped."""
    search = FolderSearch(tmp_path)
    specification(tmp_path, directory)
    assert search.result() == {"directory": None, "problem": problem}


def test_a_folder_that_can_be_used_comes_before_one_that_cannot(tmp_path: Path) -> None:
    """The agent also changed a spec.md at the root."""
    search = FolderSearch(tmp_path)
    specification(tmp_path, "specs/001-x")
    specification(tmp_path, ".")
    assert found(search) == "specs/001-x"


@pytest.mark.parametrize("directory", [".git/x", ".specify/x", ".agents/x", "web/node_modules/x", "nested/.git/x"])
def test_some_folders_are_not_searched(tmp_path: Path, directory: str) -> None:
    """Those of Git, Spec Kit and the agent, and folders of packages."""
    search = FolderSearch(tmp_path)
    specification(tmp_path, directory)
    assert found(search) is None


def test_nothing_is_found_through_a_link(tmp_path: Path) -> None:
    """Neither a linked folder nor a linked file; a record that names one is refused."""
    outside = tmp_path / "outside"
    repository = tmp_path / "repo"
    (repository / "specs/001-file").mkdir(parents=True)
    search = FolderSearch(repository)
    specification(outside, "001-x")
    (repository / "specs/001-file/spec.md").symlink_to(outside / "001-x/spec.md")
    (repository / "linked").symlink_to(outside)
    assert found(search) is None
    record(repository, "linked/001-x")
    assert search.result() == {"directory": None, "problem": "linked/001-x: it is a link, or below a link"}


def test_the_record_is_corrected_for_later_turns(repository: Path) -> None:
    """Also if the agent replaced it by a link; readable without a JSON parser."""
    (repository / RECORD).unlink()
    (repository / RECORD).symlink_to("/etc/passwd")
    write_record(repository, "specs/001-größe")
    assert (repository / RECORD).read_text() == '{"feature_directory": "specs/001-größe"}\n'
    written = (repository / RECORD).stat()
    write_record(repository, "specs/001-größe")
    assert (repository / RECORD).stat() == written


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_without_a_folder_for_it_there_is_no_record(tmp_path: Path, kind: str) -> None:
    """The variables name the feature then."""
    if kind == "file":
        (tmp_path / ".specify").write_text("x")
    write_record(tmp_path, "specs/001-x")
    assert not (tmp_path / RECORD).exists()
    assert feature_variables("docs/specs/001-x") == {
        "SPECIFY_FEATURE_DIRECTORY": "docs/specs/001-x",
        "SPECIFY_FEATURE": "001-x",
    }
