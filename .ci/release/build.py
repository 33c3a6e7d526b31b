#!/usr/bin/env python3
"""Builds a release of the last commit: wheel, sdist, one file for a server, SBOM and SHA256SUMS.

The same commit gives the same bytes, in any folder, at any time: packages are locked by hash, times are the commit's,
and entries are sorted. Nothing that is not committed is included. Run it with the Python of `.venv`, which ./tests/run
makes: its locked packages are the tools.
"""

import argparse
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Those of Debian 12, Ubuntu 24.04 and Debian 13.
PYTHONS = ("3.11", "3.12", "3.13")
# Wheels for these run on every supported system; pip takes only those that it is given.
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
LOCKS = ("requirements.txt", "requirements-install.txt")
MAIN_MODULE = ".ci/release/installer.py"
# What install.sh and job_image/build.sh read.
SOURCES = ("install.sh", "pyproject.toml", "README.md", *LOCKS, "moonmind_appliance/", "tui/", "job_image/")


def main() -> None:
    """Build everything into the output folder."""
    options = arguments()
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="moonmind-release-") as name:
        work = Path(name)
        checkout = work / "checkout"
        epoch = export_commit(checkout)
        # Everything that follows takes times from here.
        os.environ.update(SOURCE_DATE_EPOCH=str(epoch), TZ="UTC", LC_ALL="C.UTF-8")
        os.umask(0o022)
        run_module("build", "--no-isolation", "--outdir", work / "dist", checkout)
        project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        stem = f"{project['name']}-{project['version']}"
        (sdist,) = (work / "dist").glob("*.tar.gz")
        for cpu in options.cpu:
            wheels = download(checkout, work / f"wheels-{cpu}", cpu, options.python)
            write_server_file(work / f"dist/{stem}-{cpu}.pyz", sdist, wheels, project["version"], epoch)
        write_sbom(checkout, work / f"dist/{stem}.cdx.json")
        built = sorted((work / "dist").iterdir())
        for file in built:
            shutil.copyfile(file, output / file.name)
            (output / file.name).chmod(0o755 if file.suffix == ".pyz" else 0o644)
        sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in built)
        (output / "SHA256SUMS").write_text(sums, encoding="utf-8")
        print(sums, end="")


def arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description="Builds a release of the last commit.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the files (dist)")
    parser.add_argument(
        "--cpu", action="append", choices=["x86_64", "aarch64"], help="CPU of the server; can be repeated (x86_64)"
    )
    parser.add_argument(
        "--python", action="append", help=f"Python version of the server; can be repeated ({', '.join(PYTHONS)})"
    )
    options = parser.parse_args()
    options.cpu = options.cpu or ["x86_64"]
    options.python = options.python or list(PYTHONS)
    return options


def run_module(*command: str | Path, stdin: str = "") -> None:
    """Run a module of this Python's environment, with its output on stderr; ends the build if it fails."""
    words = [str(word) for word in command]
    # The SBOM tool warns that a lock file has no dependency graph.
    python = [sys.executable, "-W", "ignore::UserWarning", "-m"]
    done = subprocess.run([*python, *words], input=stdin, stdout=sys.stderr, text=True, check=False)
    if done.returncode:
        sys.exit(f"build.py: {' '.join(words)} failed with exit code {done.returncode}.")


def export_commit(folder: Path) -> int:
    """Write the last commit's files into a folder. Returns the commit's time, in seconds since 1970."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder)  # noqa: S202 - git's own archive of this repository
    time_of = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], check=True, capture_output=True)
    return int(time_of.stdout)


def download(checkout: Path, folder: Path, cpu: str, pythons: list[str]) -> Path:
    """Download the wheels of the lock files for a CPU and several Python versions; pip checks their hashes."""
    locks = [word for name in LOCKS for word in ("-r", checkout / name)]
    platforms = [word for glibc in GLIBC for word in ("--platform", f"{glibc}_{cpu}")]
    for version in pythons:
        run_module(
            *("pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("--implementation", "cp", "--python-version", version, *platforms, "--dest", folder, *locks),
        )
    return folder


def write_server_file(file: Path, sdist: Path, wheels: Path, version: str, epoch: int) -> None:
    """Write the zip archive that Python runs. Entries are stored: a compressor's version would change the bytes."""
    entries = {"version": (f"{version}\n".encode(), 0o644), **dict(sources(sdist))}
    entries.update({f"wheels/{wheel.name}": (wheel.read_bytes(), 0o644) for wheel in wheels.iterdir()})
    with file.open("wb") as target:
        target.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(target, "w") as archive:
            for name in sorted(entries):
                content, mode = entries[name]
                entry = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
                entry.create_system, entry.external_attr = 3, (stat.S_IFREG | mode) << 16
                archive.writestr(entry, content)


def sources(sdist: Path) -> Iterator[tuple[str, tuple[bytes, int]]]:
    """What an installation needs of the sdist: name in the archive, content and permissions."""
    with tarfile.open(sdist) as files:
        for member in files:
            name = member.name.partition("/")[2]
            content = files.extractfile(member) if name.startswith((MAIN_MODULE, *SOURCES)) else None
            if content:
                stored = "__main__.py" if name == MAIN_MODULE else f"source/{name}"
                yield stored, (content.read(), 0o755 if member.mode & 0o100 else 0o644)


def write_sbom(checkout: Path, file: Path) -> None:
    """Write what the server file contains as CycloneDX JSON, from the lock files without packages for Windows."""
    text = "".join((checkout / name).read_text(encoding="utf-8") for name in LOCKS).replace("\\\n", "")
    locks = "\n".join(line for line in text.splitlines() if "sys_platform == 'win32'" not in line)
    run_module(
        *("cyclonedx_py", "requirements", "-", "--pyproject", checkout / "pyproject.toml"),
        *("--output-reproducible", "--output-format", "JSON", "--output-file", file),
        stdin=locks,
    )


if __name__ == "__main__":
    main()
