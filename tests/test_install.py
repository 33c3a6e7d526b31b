"""What `install.sh` and `tests/run` say when something is not as it must be. Installing needs a fresh machine."""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("script", ["install.sh", "tests/run"])
def test_help(script: str) -> None:
    """`--help` explains each option and does nothing."""
    done = call(ROOT / script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert script in done.stdout.splitlines()[0]


@pytest.mark.parametrize("option", ["--no-rehearsal", "--prefix", "--prepare", "--prepare-uv", "EXTRA_CA_CERTS"])
def test_help_names_every_option(option: str) -> None:
    """What can be given is in the help."""
    assert option in call(ROOT / "install.sh", "--help").stdout


def test_unknown_option() -> None:
    """An option that does not exist ends with 2, and nothing is done."""
    done = call(ROOT / "install.sh", "--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr


def test_ca_bundle_that_is_not_there() -> None:
    """A CA bundle that cannot be read is named before anything is done."""
    done = call(ROOT / "install.sh", "--prepare-uv", EXTRA_CA_CERTS="/nonexistent/ca.pem")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nonexistent/ca.pem" in done.stderr
    assert "What to do: " in done.stderr


def test_engine_that_was_named_and_does_not_answer(tmp_path: Path) -> None:
    """An engine that the caller chose is not replaced by a local one."""
    done = call(ROOT / "install.sh", "--prepare", "--prefix", tmp_path, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert "unix:///nonexistent/docker.sock" in done.stderr
    assert "unset DOCKER_HOST" in done.stderr


def test_not_root(open_folder: Path) -> None:
    """Who may not install is told so at once, and how to."""
    script = shutil.copy(ROOT / "install.sh", open_folder)
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    done = call(*drop, "bash", script)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs root" in done.stderr
    assert "sudo" in done.stderr


def test_fast_leaves_out_what_needs_more_than_python() -> None:
    """Each marker names something that `tests/run --fast` does not bring."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    markers = {line.partition(":")[0] for line in options["markers"]}
    chosen = re.search(r'selection=\(-m "([^"]*)"\)', (ROOT / "tests/run").read_text(encoding="utf-8"))
    assert chosen
    assert set(chosen[1].split(" and ")) == {f"not {marker}" for marker in markers}


@pytest.mark.parametrize(
    ("script", "said", "next_step"),
    [
        ("commands.sh", "missing: curl jq", "run this as root, or install them by hand: curl jq"),
        ("keycloak.sh", "missing: default-jdk-headless maven unzip", "run this as root"),
        ("compose.sh", "uv is not there", "run tests/run --fast once"),
        ("newman.sh", "uv is not there", "run tests/run --fast once"),
    ],
)
def test_setup_that_cannot_go_on(open_folder: Path, script: str, said: str, next_step: str) -> None:
    """On a bare machine, a setup script that may not install says what is missing and what to do."""
    copy = shutil.copytree(ROOT / "tests/setup", open_folder / "tests/setup")
    commands = open_folder / "bin"
    commands.mkdir()
    for name in ("basename", "bash", "cmp", "dirname", "flock", "grep", "head", "mkdir", "sed", "sha256sum", "sort"):
        (commands / name).symlink_to(str(shutil.which(name)))
    cache = open_folder / "cache"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    setpriv = str(shutil.which("setpriv"))
    drop = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*drop, str(shutil.which("bash")), copy / script],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": str(commands), "TEST_CACHE": str(cache)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{script}: {said}" in done.stderr
    assert f"{script}: What to do: {next_step}" in done.stderr
