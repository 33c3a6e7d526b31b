"""Measures precision and recall of what redacts (`shapes`) and of what refuses a change or a text (`rules`).

Usage: python tests/bench/secret_rules.py [--list] [--tokens 500] PATH…

Each PATH is a folder, or a Git repository, of which the newest commit is read. Every finding in these files is counted
as false, except private keys, which are counted apart: a complete key is one, wherever it is. So the precision is a
lower bound. Tokens are generated: `--tokens` of each known form, in a line of code, from a fixed seed. `--list` prints
place, kind and hash of each finding. Nothing is stored.
"""

import argparse
import hashlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.secret_rules import find_tokens
from moonmind_appliance.token_shapes import SHAPES, Span, merge
from tests.known_tokens import FORMS

LARGEST_FILE = 1024 * 1024
KEY = "private key"


def shapes(data: bytes) -> list[Span]:
    """The certain shapes that redaction searches for."""
    return [Span(*span, shape.kind) for shape in SHAPES if shape.certain for span in shape.spans(data)]


RULES: dict[str, Callable[[bytes], list[Span]]] = {"shapes": shapes, "rules": lambda data: list(find_tokens(data))}


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of at most `LARGEST_FILE` bytes."""
    git_dir = path / ".git" if (path / ".git").exists() else path
    if (git_dir / "HEAD").exists():
        yield from _files_of_repository(git_dir)
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= LARGEST_FILE:
            yield str(file.relative_to(path)), file.read_bytes()


def _files_of_repository(git_dir: Path) -> Iterator[tuple[str, bytes]]:
    git = ["git", f"--git-dir={git_dir}"]
    listing = subprocess.run([*git, "ls-tree", "-rlz", "HEAD"], capture_output=True, check=True).stdout
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin
        assert reader.stdout
        for entry in filter(None, listing.split(b"\0")):
            attributes, name = entry.split(b"\t", 1)
            mode, _, blob, size = attributes.split()
            # A size that is no number: the blob is missing from the snapshot, or it is a submodule.
            if mode == b"120000" or not size.isdigit() or int(size) > LARGEST_FILE:
                continue
            reader.stdin.write(blob + b"\n")
            reader.stdin.flush()
            answer = reader.stdout.readline().split()
            if answer[-1] != b"missing":
                content = reader.stdout.read(int(answer[2]))
                reader.stdout.read(1)
                yield name.decode(errors="replace"), content
        reader.stdin.close()


def search_files(paths: list[Path], *, listed: bool) -> tuple[dict[str, Counter[str]], int, dict[str, float], int]:
    """Findings by rule set and kind, number of files, seconds by rule set, bytes."""
    found: dict[str, Counter[str]] = {name: Counter() for name in RULES}
    seconds = dict.fromkeys(RULES, 0.0)
    number = size = 0
    for path in paths:
        for name, data in files(path):
            number, size = number + 1, size + len(data)
            for rules, find in RULES.items():
                began = time.thread_time()
                spans = merge(find(data))
                seconds[rules] += time.thread_time() - began
                found[rules].update(span.kind for span in spans)
                for span in spans if listed else ():
                    line = data.count(b"\n", 0, span.start) + 1
                    sha256 = hashlib.sha256(data[span.start : span.end]).hexdigest()
                    print(f"{rules}\t{span.kind}\t{path}:{name}:{line}\t{sha256}")
    return found, number, seconds, size


def recall(tokens: int) -> dict[str, dict[str, int]]:
    """By rule set and form, how many generated tokens were found as a whole."""
    found = {name: dict.fromkeys(FORMS, 0) for name in RULES}
    for form, (_, generate) in FORMS.items():
        random = Random(form)  # noqa: S311 - the same tokens each time
        for _ in range(tokens):
            token = generate(random).encode()
            line = b'key = "' + token + b'"\n'
            for name, find in RULES.items():
                found[name][form] += any(span.start <= 7 and span.end >= 7 + len(token) for span in merge(find(line)))
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--list", action="store_true", dest="listed")
    given = parser.parse_args()
    found, number, seconds, size = search_files(given.paths, listed=given.listed)
    real = recall(given.tokens)
    print(f"{number} files, {size / 1e6:.0f} MB; {len(FORMS)} forms with {given.tokens} tokens each\n")
    kinds = sorted({kind for counts in found.values() for kind in counts})
    print(f"{'findings in the files':32}" + "".join(f"{name:>10}" for name in RULES))
    for kind in kinds:
        print(f"{kind:32}" + "".join(f"{found[name][kind]:10}" for name in RULES))
    print(f"\n{'form':32}" + "".join(f"{name:>10}" for name in RULES))
    for form in FORMS:
        print(f"{form:32}" + "".join(f"{real[name][form] / given.tokens:10.1%}" for name in RULES))
    print()
    for name in RULES:
        true = sum(real[name].values())
        false = found[name].total() - found[name][KEY]
        print(
            f"{name}: precision at least {true / (true + false) if true else 0:.2%} ({false} findings besides "
            f"{found[name][KEY]} private keys; {1000 * false / number:.2f} for each 1000 files), "
            f"recall {true / (given.tokens * len(FORMS)):.2%}, {size / 1e6 / seconds[name]:.0f} MB/s"
        )


if __name__ == "__main__":
    sys.exit(main())
