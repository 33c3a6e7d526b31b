"""The version of the installed package."""

import importlib.metadata

import pytest

from moonmind_appliance import version


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer of `/health` contains one."""
    assert version.appliance_version() == importlib.metadata.version("moonmind-appliance")

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert version.appliance_version() == "0+checkout"
