"""The version of the installed package, which `pyproject.toml` defines."""


def appliance_version() -> str:
    """The installed version; "0+checkout" in a checkout that was not installed."""
    # Its import takes a tenth of a short command's time, and most commands show no version.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - see above

    try:
        return version("moonmind-appliance")
    except PackageNotFoundError:
        return "0+checkout"
