"""The command `tests/faults/run`: kill the appliance by a schedule from a seed, and print what was found.

Ctrl-C ends the kills early; the check at the end follows, with what was done so far.
"""

import sys

from tests.faults.kills import harness
from tests.faults.options import run

if __name__ == "__main__":
    sys.exit(run(harness, prog="tests/faults/run", faults="kills", think=0.0, description=__doc__))
