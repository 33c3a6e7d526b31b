"""Measures redaction in megabytes of text for each second of processor time, beside a plain search for each secret.

Usage: python tests/bench/redaction.py [--megabytes 4] [--rounds 3] [--only NAME]

The redactor knows what a server with three logins knows: two settings, and of each login six tokens. The plain search
looks for each encoding of these values, one after another, and removes nothing: the least that a redactor without an
index does. Each input passes through the stream that writes a run's logs, in pieces of 32 KiB, as a container sends it.
"""

import argparse
import base64
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.redaction import Redactor, encodings
from moonmind_appliance.secret_rules import RULES
from moonmind_appliance.token_shapes import SHAPES
from tests.known_tokens import FORMS, jwt, text

PIECE = 32 * 1024
WORDS = re.findall(
    "[a-z]+", "the plan adds a test for each endpoint, and returns the error of the parser with its line"
)


class Nowhere:
    """A sink that keeps nothing."""

    def write(self, data: bytes, /) -> None:
        """Do nothing."""


def events(random: Random) -> Iterator[bytes]:
    """What `codex exec --json` prints: commands with their output, messages, changed files."""
    for number in range(1_000_000):
        item: dict[str, object] = {
            "id": f"item_{number}",
            "type": "agent_message",
            "text": " ".join(random.choices(WORDS, k=40)),
        }
        if number % 3:
            item = {
                "id": f"item_{number}",
                "type": "command_execution",
                "command": f"/bin/bash -lc 'sed -n 1,80p src/module_{number % 17}.py'",
                "aggregated_output": "\n".join(" ".join(random.choices(WORDS, k=9)) for _ in range(number % 30)),
                "exit_code": 0,
                "status": "completed",
            }
        yield json.dumps({"type": "item.completed", "item": item}).encode() + b"\n"


def repeated(unit: Callable[[], bytes], size: int) -> bytes:
    """The unit, called as often as it takes to reach the size."""
    parts, length = [], 0
    while length < size:
        parts.append(unit())
        length += len(parts[-1])
    return b"".join(parts)[:size]


def inputs(size: int) -> dict[str, bytes]:
    """Name and bytes of each input."""
    random = Random(14)  # noqa: S311
    anchors = sorted({anchor for rule in RULES for anchor in rule.patterns} | {a for s in SHAPES for a in s.searches})
    lines = events(random)
    forms = [generate for _, generate in FORMS.values()]
    found = {
        "Codex's events": repeated(lambda: next(lines), size),
        "source code": repeated(Path(json.__file__).read_bytes, size),
        "one endless line": b"a" * size,
        "only line breaks": b"\n" * size,
        "base64": base64.b64encode(random.randbytes(size))[:size],
        "random bytes": random.randbytes(size),
        "all prefixes, mixed": repeated(lambda: random.choice(anchors), size),
        "JSON web tokens' beginnings": repeated(lambda: b"eyJhbGciOiJSUzI1NiJ9.", size),
        "addresses": repeated(lambda: b"https://host/path ", size),
        "tokens, all different": repeated(lambda: random.choice(forms)(random).encode() + b" ", size),
    }
    found |= {f"prefix {anchor.decode()}": anchor * (size // len(anchor)) for anchor in anchors}
    return found


def known(random: Random) -> dict[str, dict[str, str]]:
    """The values of each login."""
    return {
        f"shard {shard}": {
            f"{kind} {number}": value
            for number in range(2)
            for kind, value in {
                "access_token": jwt(random),
                "id_token": jwt(random),
                "refresh_token": f"rt_{text(random, 90)}",
            }.items()
        }
        for shard in range(3)
    }


def best(action: Callable[[], object], rounds: int) -> float:
    """Least processor time of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        action()
        times.append(time.process_time() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="inputs whose name contains this text")
    options = parser.parse_args()
    random = Random(3)  # noqa: S311
    settings = {"GITHUB_TOKEN": f"ghp_{text(random, 36)}", "KEYCLOAK_CLIENT_SECRET": text(random, 32)}
    redactor = Redactor(settings)
    values = list(settings.values())
    for source, secrets in known(random).items():
        redactor.learn(source, secrets, signed_in=True)
        values += secrets.values()
    forms = [form for value in values for form in encodings(value)]
    size = int(options.megabytes * 1_000_000)

    def redact(data: bytes) -> None:
        stream = redactor.stream(Nowhere())
        for begin in range(0, len(data), PIECE):
            stream.write(data[begin : begin + PIECE])
        stream.flush()

    def plain(data: bytes) -> None:
        for begin in range(0, len(data), PIECE):
            piece = data[begin : begin + PIECE]
            for form in forms:
                _ = form in piece

    print(f"{len(forms)} encodings of {len(values)} values, {size / 1e6:g} MB each")
    print(f"{'input':<30} {'MB/s':>8} {'plain':>8} {'ratio':>7}")
    slowest = ("", float("inf"))
    for name, data in inputs(size).items():
        if options.only not in name:
            continue
        speed = len(data) / 1e6 / best(lambda: redact(data), options.rounds)  # noqa: B023
        beside = len(data) / 1e6 / best(lambda: plain(data), 1)  # noqa: B023
        slowest = min(slowest, (name, speed), key=lambda entry: entry[1])
        print(f"{name:<30} {speed:>8.1f} {beside:>8.1f} {speed / beside:>7.2f}", flush=True)
    print(f"slowest: {slowest[0]}, {slowest[1]:.1f} MB/s")


if __name__ == "__main__":
    main()
