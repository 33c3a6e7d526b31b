"""What the lock files promise: the same bytes for everybody, from whichever registry the machine is configured for."""

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
)


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_python_package_is_pinned_with_a_hash(name: str) -> None:
    """Each requirement is one version with at least one hash."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


@pytest.mark.parametrize("name", [*PYTHON_LOCKS, "job_image/package-lock.json"])
def test_no_lock_file_names_an_address(name: str) -> None:
    """No registry's address and no path of the machine that made it."""
    assert not re.findall(r"https?://|file:|(?:^|\s)/\w+", (ROOT / name).read_text(encoding="utf-8"))


def test_every_npm_package_has_its_integrity() -> None:
    """Each package of the npm lock is pinned by its integrity, for both platforms the image is built on."""
    lock = json.loads((ROOT / "job_image/package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert {package["cpu"][0] for package in packages.values()} == {"x64", "arm64"}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())


def test_tests_run_on_the_products_own_versions() -> None:
    """What the product is installed with is what it is tested with."""
    pins = [
        dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "tests/requirements.txt")
    ]
    assert pins[0].items() <= pins[1].items()
