"""The scripts that build the job image."""

import os
import subprocess
from pathlib import Path

import pytest

JOB_IMAGE = Path(__file__).parents[2] / "job_image"


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [JOB_IMAGE / name, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.docker
@pytest.mark.image
def test_second_build_does_nothing() -> None:
    """An image with the same content is not built again; its versions are printed anyway."""
    script("build.sh")
    done = script("build.sh")
    assert done.returncode == 0, done.stderr
    assert "already there" in done.stdout
    assert "Codex CLI 0.169.0, Spec Kit 1.2.3" in done.stdout


@pytest.mark.parametrize("name", ["build.sh", "make_base.sh"])
def test_help(name: str) -> None:
    """`--help` explains every option and does nothing."""
    done = script(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: job_image/{name}")


@pytest.mark.parametrize("name", ["build.sh", "make_base.sh"])
def test_unknown_option(name: str) -> None:
    """It exits with 2, names the option and prints the usage."""
    done = script(name, "--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: unknown option: --no-such-option\nUsage:")


def test_no_engine() -> None:
    """Without an engine the build reports that, and what to do."""
    done = script("build.sh", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert "no Docker engine answers" in done.stderr
    assert "DOCKER_HOST" in done.stderr
