"""`.ci/release/build.py`: the files of a release are complete, the same each time, and set a server up."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

# On a busy machine a build takes minutes.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
SERVER_FILE = f"moonmind-appliance-{VERSION}-x86_64.pyz"
SBOM = f"moonmind-appliance-{VERSION}.cdx.json"
WHEEL = f"moonmind_appliance-{VERSION}-py3-none-any.whl"
SDIST = f"moonmind_appliance-{VERSION}.tar.gz"


def call(*command: str | Path, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        umask=umask,
        check=False,
    )


def build(checkout: Path, output: Path, *, umask: int = -1, **environment: str) -> Path:
    """A release for this Python version only, as the others only take longer."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = checkout / ".ci/release/build.py"
    done = call(
        sys.executable, script, "--output", output, "--python", python, umask=umask, PYTHONPATH="", **environment
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("release"))


def committed(*folders: str) -> set[str]:
    files = call("git", "-C", ROOT, "ls-tree", "-r", "--name-only", "HEAD", *folders).stdout.splitlines()
    assert files
    return set(files)


def test_the_same_commit_gives_the_same_bytes(release: Path, tmp_path: Path) -> None:
    """In another folder, later, in another time zone, and with another umask."""
    clone = tmp_path / "another folder"
    assert call("git", "clone", "-q", ROOT, clone).returncode == 0
    again = build(clone, tmp_path / "again", umask=0o077, TZ="Asia/Tokyo")
    names = {file.name for file in again.iterdir()}
    assert names == {SERVER_FILE, SBOM, WHEEL, SDIST, "SHA256SUMS"}
    assert [name for name in sorted(names) if (again / name).read_bytes() != (release / name).read_bytes()] == []


def test_checksums(release: Path) -> None:
    """`sha256sum --check` reads SHA256SUMS, which lists every other file."""
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=release, capture_output=True, text=True, check=True
    )
    others = {file.name for file in release.iterdir()} - {"SHA256SUMS"}
    assert set(done.stdout.splitlines()) == {f"{name}: OK" for name in others}


def test_wheel_and_sdist_are_complete(release: Path) -> None:
    """The wheel contains every file of both packages, such as layouts and the typing marker; the sdist every file."""
    with zipfile.ZipFile(release / WHEEL) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == committed("moonmind_appliance", "tui")
    with tarfile.open(release / SDIST) as sdist:
        packed = {member.name.partition("/")[2] for member in sdist}
    assert packed - {"PKG-INFO"} == committed()


def test_sbom_lists_what_the_server_file_contains(release: Path) -> None:
    """Each wheel with its version and hash, and nothing else; no serial number, which would be random."""
    sbom = json.loads((release / SBOM).read_text(encoding="utf-8"))
    assert "serialNumber" not in sbom
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["version"]) == (
        "moonmind-appliance",
        VERSION,
    )
    listed = {(re.sub(r"[-_.]+", "_", it["name"]).lower(), it["version"]) for it in sbom["components"]}
    with zipfile.ZipFile(release / SERVER_FILE) as archive:
        wheels = [name.removeprefix("wheels/") for name in archive.namelist() if name.startswith("wheels/")]
    assert {tuple(name.split("-")[:2]) for name in wheels} == listed
    assert all(it["externalReferences"][0]["hashes"] for it in sbom["components"])


def test_no_file_contains_the_folder_that_it_was_built_in(release: Path) -> None:
    """Neither the checkout's path nor that of the temporary folder."""
    for name in (SERVER_FILE, SBOM, WHEEL):
        content = (release / name).read_bytes()
        assert str(ROOT).encode() not in content
        assert b"moonmind-release-" not in re.sub(rb'prefix="moonmind-release-"', b"", content)


@pytest.mark.parametrize("arguments", [[], ["remove"], ["--install"], ["unpack"]])
def test_wrong_arguments(release: Path, arguments: list[str]) -> None:
    """The server file ends with 2 and its usage, and does nothing."""
    done = call(release / SERVER_FILE, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Usage: sudo ./{SERVER_FILE} install" in done.stderr


def test_unpack(release: Path, tmp_path: Path) -> None:
    """Scripts can be run where they are unpacked; a folder that contains files is left as it is."""
    folder = tmp_path / "new"
    assert call(release / SERVER_FILE, "unpack", folder).returncode == 0
    assert call(folder / "source/job_image/build.sh", "--help").returncode == 0
    again = call(release / SERVER_FILE, "unpack", folder)
    assert again.returncode == 1
    assert f"{folder} is not empty" in again.stderr


def test_install_from_the_server_file(release: Path, tmp_path: Path) -> None:
    """`install.sh --from` sets a server up; no Python package comes from a registry."""
    prefix, commands = tmp_path / "opt", tmp_path / "bin"
    commands.mkdir()
    # An engine that does everything; what the job image is made of is not this test's subject.
    (commands / "docker").write_text("#!/bin/sh\necho 1\n", encoding="utf-8")
    (commands / "docker").chmod(0o755)
    done = call(
        *(ROOT / "install.sh", "--from", release / SERVER_FILE, "--no-rehearsal", "--prefix", prefix),
        DESTDIR=str(tmp_path / "root"),
        PATH=f"{commands}:{os.environ['PATH']}",
        # Nothing listens there: a request to a registry would fail.
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
    )
    assert done.returncode == 0, done.stderr
    command = tmp_path / "root/usr/local/bin/moonmind-appliance"
    assert command.readlink() == prefix / "venv/bin/moonmind-appliance"
    assert json.loads(call(command, "version", "--json").stdout)["appliance"] == VERSION
    assert call(release / SERVER_FILE, "--version").stdout == f"{VERSION}\n"
