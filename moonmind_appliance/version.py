"""The version of the installed package, which `pyproject.toml` defines."""


def appliance_version() -> str:
    """The installed version; "0+checkout" in a checkout that was not installed."""
    # Its import takes as long as the rest of a short command's work, and most commands show no version.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - see above

    try:
        return version("moonmind-appliance")
    except PackageNotFoundError:
        return "0+checkout"
