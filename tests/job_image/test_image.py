"""The built job image, examined from outside."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.image]

IMAGE = "moonmind/spec-automation-job:latest"
JOB_IMAGE = Path(__file__).parents[2] / "job_image"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A container of the image with these arguments of `docker run`."""
    command = ["docker", "run", "--rm", "--network", "none", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def shell(script: str, *options: str) -> str:
    """The output of a shell script in the image; it must succeed."""
    done = run(*options, IMAGE, "bash", "-euc", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    shown = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=True)
    (described,) = json.loads(shown.stdout)
    assert isinstance(described, dict)
    return described


@pytest.fixture
def volume() -> Iterator[Callable[[], str]]:
    made = []

    def make() -> str:
        made.append(f"moonmind-test-job-image-{uuid.uuid4().hex[:12]}")
        subprocess.run(["docker", "volume", "create", made[-1]], capture_output=True, check=True)
        return made[-1]

    yield make
    for name in made:
        subprocess.run(["docker", "volume", "rm", "--force", name], capture_output=True, check=True)


def test_size(image: dict[str, Any]) -> None:
    """The image takes at most 620 MB unpacked, most of it the Codex binary."""
    assert image["Size"] <= 620_000_000


def test_user(image: dict[str, Any]) -> None:
    """Containers run as user 1000 by default, in /work, with Codex's folder as home."""
    assert image["Config"]["User"] == "1000"
    assert image["Config"]["WorkingDir"] == "/work"
    assert shell('id -u; id -g; echo "$HOME"').split() == ["1000", "1000", "/work/codex-home"]


def test_labels_have_the_versions(image: dict[str, Any]) -> None:
    """They equal the versions that Codex and Spec Kit report."""
    labels = image["Config"]["Labels"]
    codex = shell("codex --version").split()[-1]
    spec_kit = shell("specify --version").split()[-1]
    assert (labels["moonmind.codex.version"], labels["moonmind.spec-kit.version"]) == (codex, spec_kit)
    assert labels["moonmind.job-image.version"]


def test_versions_are_the_locked_ones(image: dict[str, Any]) -> None:
    """The installed versions equal those in the lock files."""
    labels = image["Config"]["Labels"]
    lock = json.loads((JOB_IMAGE / "package-lock.json").read_text())
    locked = {package["version"].rsplit("-linux-", 1)[0] for name, package in lock["packages"].items() if name}
    assert locked == {labels["moonmind.codex.version"]}
    assert f"specify-cli=={labels['moonmind.spec-kit.version']}" in (JOB_IMAGE / "requirements.txt").read_text()


def test_no_node() -> None:
    """There is no Node, and `codex` is the native binary, not a Node wrapper that survives a kill."""
    assert shell("command -v node npm || echo none").split() == ["none"]
    assert shell("head -c 4 $(command -v codex) | od -An -c").split() == ["177", "E", "L", "F"]


def test_only_the_distributions_authorities() -> None:
    """A CA bundle given to the build is not in the image: it trusts only the distribution's list."""
    bundled = int(shell("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt"))
    listed = int(shell("grep -c '^[^#!]' /etc/ca-certificates.conf"))
    assert bundled == listed
    assert shell("find /usr/local/share/ca-certificates /build -type f 2>/dev/null || true") == ""


def test_environment_is_bare(image: dict[str, Any]) -> None:
    """The image's environment has nothing of the build machine: no proxy, no registry, no CA path."""
    names = {entry.split("=", 1)[0] for entry in image["Config"]["Env"]}
    assert names == {"PATH", "LANG", "HOME", "PYTHONDONTWRITEBYTECODE"}


def test_folders_belong_to_the_user_and_are_empty() -> None:
    """The folders for volumes belong to user 1000 and are empty, as an empty volume copies them."""
    folders = "/work /work/runs /work/git /work/codex-home /work/codex-home/.codex"
    assert set(shell(f"stat -c %u:%g {folders}").split()) == {"1000:1000"}
    assert shell("find /work -type f -o -type l") == ""


def test_nothing_outside_work_is_the_users() -> None:
    """The user can change only their own folders."""
    found = shell("find / -xdev \\( -user 1000 -o -type f -perm -002 \\) -not -path '/work*' 2>/dev/null || true")
    assert found == ""


def test_fresh_volumes_are_writable_when_hardened(volume: Callable[[], str]) -> None:
    """Read-only root, no capability, no new privileges: user 1000 can write to empty volumes without root."""
    mounts = (
        *("--tmpfs", "/tmp:exec", "--tmpfs", "/work/codex-home:uid=1000,gid=1000,mode=0700"),  # noqa: S108 - in the container
        *("--volume", f"{volume()}:/work/runs", "--volume", f"{volume()}:/work/codex-home/.codex"),
        *("--volume", f"{volume()}:/work/git"),
    )
    script = """
        git init --quiet --bare /work/git/bare.git
        git clone --quiet /work/git/bare.git /work/runs/tree 2> /dev/null
        cp -r /opt/spec-kit/scaffold/. /work/runs/tree/
        cd /work/runs/tree
        git add .
        git -c user.name=A -c user.email=a@localhost commit --quiet -m Scaffold
        git push --quiet origin HEAD
        codex features list > /dev/null
        touch ~/.codex/auth.json
        git -C /work/git/bare.git ls-tree -r --name-only HEAD | grep -c SKILL.md
    """
    assert int(shell(script, *HARDENED, *mounts)) >= 3


def test_smoke_check_passes_when_hardened() -> None:
    """The build's own check also passes in the appliance's configuration, with only its mounts writable."""
    writable = ("--tmpfs", "/tmp:exec", "--tmpfs", "/work:exec,uid=1000")  # noqa: S108 - in the container
    done = run(*HARDENED, *writable, IMAGE, "python3", "/opt/job-image/smoke.py")
    assert done.returncode == 0, done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--env", "CODEX_VERSION=0.0.1"), "Codex is 0.169.0, not 0.0.1"),
        (("--env", "PATH=/usr/bin:/bin"), "codex is not on the PATH"),
        (("--user", "0"), "the user is 0, not 1000"),
        (("--tmpfs", "/usr/lib/python3/dist-packages"), "No module named 'h11'"),
        (("--tmpfs", "/opt/spec-kit/scaffold"), "SKILL.md is missing"),
        (("--tmpfs", "/usr/lib/git-core"), "git has no git-remote-https"),
        (("--volume", "/dev/null:/opt/codex/bin/codex-code-mode-host:ro"), "codex-code-mode-host is missing"),
    ],
)
def test_smoke_check_fails_with_what_is_missing(options: tuple[str, ...], said: str) -> None:
    """The check of an incomplete image fails, and names what is missing."""
    done = run(*options, IMAGE, "python3", "/opt/job-image/smoke.py")
    assert done.returncode == 1
    assert said in done.stdout


def test_the_image_contains_its_sbom(image: dict[str, Any]) -> None:
    """It lists the Debian packages, and Codex and Spec Kit with the versions that the labels name."""
    labels = image["Config"]["Labels"]
    found = {
        each["name"]: each["version"] for each in json.loads(shell("cat /opt/job-image/sbom.cdx.json"))["components"]
    }
    assert {"git", "jq", "curl", "bash", "openssl", "python3-h11"} <= set(found)
    assert found["@openai/codex"].startswith(labels["moonmind.codex.version"])
    assert found["specify-cli"] == labels["moonmind.spec-kit.version"]
