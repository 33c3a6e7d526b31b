"""The command `tests/faults/run parsers`: changed bytes for the parsers of the egress container, for some time.

Prints the inputs of each parser by their results. Ends with the first violation; the same seed gives the same inputs.
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

Fuzz = Callable[[random.Random], Awaitable[str]]


async def fuzz(seconds: float, seed: int) -> dict[str, Counter[str]]:
    """Fuzz all parsers in turn for that time; returns the number of inputs by parser and result."""
    hellos = [hello(HOST), in_records(hello(HOST), 50), hello("evil.example"), hello(None)]
    parsers: dict[str, Fuzz] = {
        "CONNECT heads": _awaitable(fuzz_head),
        "TLS ClientHellos": _awaitable(hello_fuzzer(hellos)),
        "requests to the broker": fuzz_request,
    }
    found: dict[str, Counter[str]] = {name: Counter() for name in parsers}
    chance, end = random.Random(seed), time.monotonic() + seconds  # noqa: S311 - reproducible, not secret
    while time.monotonic() < end:
        for name, parse in parsers.items():
            for _ in range(_ROUND):
                found[name][await parse(chance)] += 1
            # The loop ends the generators of refused bodies.
            await asyncio.sleep(0)
    return found


def _awaitable(parse: Callable[[random.Random], str]) -> Fuzz:
    async def call(chance: random.Random) -> str:
        return parse(chance)

    return call


def main() -> int:
    """Read the command line, fuzz, and print the figures."""
    parser = argparse.ArgumentParser(prog="tests/faults/run parsers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs (default: 1)")
    chosen = parser.parse_args()
    for name, results in asyncio.run(fuzz(chosen.seconds, chosen.seed)).items():
        listed = ", ".join(f"{count:,} {result}" for result, count in sorted(results.items()))
        print(f"{name}: {results.total():,} ({listed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
