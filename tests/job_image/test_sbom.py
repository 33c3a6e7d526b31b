"""The SBOM of an image or an environment: what it lists, and that its format is valid."""

import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "job_image/sbom.py"
LOCK = ROOT / "job_image/package-lock.json"
INSTALLED = (
    "installed\tlibc6\t2.36-9+deb12u14\tamd64\n"
    "config-files\told\t1.0\tall\n"
    "installed\tgit\t1:2.39.5-0+deb12u2\tamd64\n"
    "installed\tlibstdc++6\t12.2.0-14\tamd64\n"
)


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("job_image_sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed() -> str:
    """The SBOM of the environment that runs the tests, and of the image's npm packages."""
    options = ["--python", sysconfig.get_path("purelib"), "--npm", str(LOCK)]
    command = [sys.executable, str(SCRIPT), "the environment", "1.0", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_document_is_valid_cyclonedx() -> None:
    """The validator of the CycloneDX project accepts it. A second document has the same bytes."""
    text = printed()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == printed()


def test_every_installed_python_package_is_listed() -> None:
    """Each one has its version."""
    found = {each["name"]: each["version"] for each in json.loads(printed())["components"]}
    for name in ("litestar", "docker", "huey"):
        assert found[name] == importlib.metadata.version(name)


def test_codex_is_listed_for_this_machine_alone() -> None:
    """The lock file contains both platforms."""
    found = [each["purl"] for each in json.loads(printed())["components"] if each["purl"].startswith("pkg:npm/")]
    version = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    cpu = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    assert found == [f"pkg:npm/%40openai/codex@{version[f'node_modules/codex-linux-{cpu}']['version']}"]


def test_installed_debian_packages_have_their_package_url(sbom: ModuleType) -> None:
    """A removed package that left only its configuration is not listed. An epoch is escaped."""
    assert [each["purl"] for each in sbom.debian_packages(INSTALLED, "debian")] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
        "pkg:deb/debian/git@1%3A2.39.5-0%2Bdeb12u2?arch=amd64",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64",
    ]
