"""Lock files give the same bytes on every machine, from whichever registry it uses."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON_LOCKS = (
    "requirements.txt",
    "requirements-install.txt",
    "tests/requirements.txt",
    "job_image/requirements.txt",
    "job_image/requirements-build.txt",
    "tests/setup/go/requirements.txt",
)
NPM_LOCKS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("job_image", "tests")
    for path in (ROOT / folder).rglob("package-lock.json")
)


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_python_package_is_pinned_with_a_hash(name: str) -> None:
    """Each requirement is one version with at least one hash."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


@pytest.mark.parametrize("name", [*PYTHON_LOCKS, *NPM_LOCKS])
def test_no_lock_file_names_an_address(name: str) -> None:
    """No registry address and no path of the machine that created it."""
    assert not re.findall(r"https?://|file:|(?:^|\s)/\w+", (ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NPM_LOCKS)
def test_every_npm_package_has_its_integrity(name: str) -> None:
    """Each package in an npm lock has its integrity hash."""
    lock = json.loads((ROOT / name).read_text(encoding="utf-8"))
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages)


def test_codex_is_locked_for_both_platforms() -> None:
    """The job image can be built on both platforms."""
    lock = json.loads((ROOT / "job_image/package-lock.json").read_text(encoding="utf-8"))
    platforms = {package["cpu"][0] for path, package in lock["packages"].items() if path}
    assert platforms == {"x64", "arm64"}


def test_tests_run_on_the_products_own_versions() -> None:
    """The tests use the versions that are installed with the product."""
    pins = [
        dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "tests/requirements.txt")
    ]
    assert pins[0].items() <= pins[1].items()
