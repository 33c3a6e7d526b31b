"""The version of the installed package, which `pyproject.toml` defines."""

from importlib.metadata import PackageNotFoundError, version


def appliance_version() -> str:
    """The installed version; "0+checkout" in a checkout that was not installed."""
    try:
        return version("moonmind-appliance")
    except PackageNotFoundError:
        return "0+checkout"
