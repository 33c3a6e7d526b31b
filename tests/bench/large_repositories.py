"""Two large repositories for benches: one of 490 MiB in 5,000 files, one of 100,000 small files."""

import os
import subprocess
import tempfile
from pathlib import Path

MIB = 1024**2


def git(folder, *arguments):
    """Run Git in a folder, without the user's configuration."""
    env = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    configuration = {
        "user.name": "Bench",
        "user.email": "bench@example.invalid",
        "core.compression": "0",
        "gc.auto": "0",
    }
    options = [word for name, value in configuration.items() for word in ("-c", f"{name}={value}")]
    command = ["git", "-C", str(folder), *options, *arguments]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


def make_large(folder, scale):
    """490 MiB in 5,000 files."""
    for number in range(int(5000 * scale)):
        place = folder / f"part-{number // 100}"
        place.mkdir(exist_ok=True)
        (place / f"data-{number}.bin").write_bytes(os.urandom(490 * MIB // 5000))


def make_many(folder, scale):
    """100,000 files of a few lines in 1,000 folders."""
    for number in range(int(100_000 * scale)):
        place = folder / f"module-{number // 100 % 100}" / f"part-{number // 10_000}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file-{number}.txt").write_text(f"line of file {number}\n" * (1 + number % 40))


REPOSITORIES = {"bench/large": make_large, "bench/many-files": make_many}


def host(environment, slug, scale=1.0):
    """Put a repository on the stand-in; `scale` is the share of its files."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        git(folder, "init", "--quiet", "--initial-branch=main")
        REPOSITORIES[slug](folder, scale)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "All files")
        git(folder, "repack", "-a", "-d", "--quiet", "--window=0")
        environment.github.add_repository(slug, folder)
