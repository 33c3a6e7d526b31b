"""The command `tests/faults/run disk`: fill the data folder's disk by a schedule from a seed, and print what was found.

The data folder is a small disk of its own, which needs root. Ctrl-C ends the schedule early; the check at the end
follows, with what was done so far.
"""

import sys

from tests.faults.fills import harness
from tests.faults.options import run
from tests.faults.small_disk import NeedsRoot


def main() -> int:
    """0: every invariant is true. 1: one is not. 2: the small disk cannot be mounted."""
    try:
        return run(harness, prog="tests/faults/run disk", faults="fills", think=0.5, description=__doc__)
    except NeedsRoot as error:
        print(f"tests/faults/run disk: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
