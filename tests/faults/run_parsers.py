"""The command `tests/faults/run parsers`: changed bytes for the parsers of the egress container, for some time.

Prints the inputs of each parser by their results, and its slowest one. Ends with the first violation, whose seed it
names: the same seed gives the same inputs.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.faults.fuzzed import HOST, fuzz_head, fuzz_request, hello_fuzzer
from tests.in_container.test_egress_hello import hello, in_records

_ROUND = 200

Fuzz = Callable[[random.Random], str]


class Figures:
    """The inputs of one parser."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.slowest = 0.0

    def add(self, result: str, seconds: float) -> None:
        """Count one."""
        self.results[result] += 1
        self.slowest = max(self.slowest, seconds)


async def fuzz(seconds: float, seed: int) -> dict[str, Figures]:
    """Fuzz all parsers in turn for that time."""
    hellos = [hello(HOST), in_records(hello(HOST), 50), hello("evil.example"), hello(None)]
    heads, names = fuzz_head, hello_fuzzer(hellos)
    parsers: dict[str, Callable[[random.Random], Awaitable[str]]] = {
        "CONNECT heads": _awaitable(heads),
        "TLS ClientHellos": _awaitable(names),
        "requests to the broker": fuzz_request,
    }
    found = {name: Figures() for name in parsers}
    chance, end = random.Random(seed), time.monotonic() + seconds  # noqa: S311 - reproducible, not secret
    while time.monotonic() < end:
        for name, parse in parsers.items():
            for _ in range(_ROUND):
                began = time.perf_counter()
                result = await parse(chance)
                found[name].add(result, time.perf_counter() - began)
    return found


def _awaitable(parse: Fuzz) -> Callable[[random.Random], Awaitable[str]]:
    async def call(chance: random.Random) -> str:
        return parse(chance)

    return call


def main() -> int:
    """Read the command line, fuzz, and print the figures."""
    parser = argparse.ArgumentParser(prog="tests/faults/run parsers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs (default: 1)")
    chosen = parser.parse_args()
    for name, figures in asyncio.run(fuzz(chosen.seconds, chosen.seed)).items():
        results = ", ".join(f"{count:,} {result}" for result, count in sorted(figures.results.items()))
        print(f"{name}: {figures.results.total():,}: {results}; slowest {figures.slowest * 1000:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
