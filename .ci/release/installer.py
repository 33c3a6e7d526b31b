#!/usr/bin/env python3
"""Installs or removes the MoonMind appliance on this machine, from this file alone.

This is the main module of the release file, a zip archive that Python runs. Beside it are `source/`, with install.sh,
the package and the job image's sources, and `wheels/`, with every Python package of the lock files. It needs Python's
standard library only, because the packages are not installed yet.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

USAGE = """\
Usage: sudo ./{name} install [OPTION…]
       sudo ./{name} uninstall [--purge-data] [--prefix DIR]
       ./{name} unpack FOLDER | --version | --help

  install    set this machine up, or update it. Python packages come from this file, so the
             Python package registry is not used. OPTIONs are those of install.sh;
             `install --help` shows them
  uninstall  remove the appliance; the same as install.sh --uninstall
  unpack     write this file's sources and wheels into a new folder

Needs Python 3.11 or newer. Exit codes: 0 done, 1 failed, 2 wrong options.
"""


def main() -> int:
    """Do what the arguments ask for; returns the exit code."""
    file = Path(__file__).parent
    match sys.argv[1:]:
        case ["install", *options]:
            return install(file, options)
        case ["uninstall", *options]:
            return install(file, ["--uninstall", *options])
        case ["unpack", folder]:
            return unpack_new(file, Path(folder))
        case ["--version" | "version"]:
            print((zipfile.Path(file) / "version").read_text(encoding="utf-8").strip())
            return 0
        case ["-h" | "--help"]:
            print(USAGE.format(name=file.name), end="")
            return 0
        case arguments:
            wrong = f"unknown: {' '.join(arguments)}" if arguments else "a command is missing"
            print(f"{file.name}: {wrong}\n{USAGE.format(name=file.name)}", end="", file=sys.stderr)
            return 2


def install(file: Path, options: list[str]) -> int:
    """Run install.sh on the unpacked sources, without a Python package registry."""
    with tempfile.TemporaryDirectory(prefix="moonmind-appliance-") as name:
        folder = Path(name)
        unpack(file, folder)
        wheels = str(folder / "wheels")
        environment = {
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels,
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": wheels,
        }
        command = ["bash", str(folder / "source/install.sh"), *options]
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 130


def unpack_new(file: Path, folder: Path) -> int:
    """Unpack into a folder that is empty or does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            print(f"{file.name}: {folder} is not empty. Name a new folder.", file=sys.stderr)
            return 1
        unpack(file, folder)
    except OSError as error:
        print(f"{file.name}: cannot unpack into {folder}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def unpack(file: Path, folder: Path) -> None:
    """Write the archive's files; zipfile alone does not restore their permissions."""
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            written = Path(archive.extract(entry, folder))
            written.chmod(entry.external_attr >> 16)


if __name__ == "__main__":
    sys.exit(main())
