"""The terminal interface on an engine without Docker, for the sign-in screen: `sign_in.py DATA_FOLDER`.

The person never types the code, and the clock stands still: otherwise the minutes that are left would change.
"""

import os
import sys
from pathlib import Path

from tests.tui.attached import attached_to
from tests.tui.simulated_sign_in import SimulatedSignIn


def main() -> None:
    with attached_to(Path(sys.argv[1])) as attached:
        SimulatedSignIn(attached.engine)
        attached.app(environment=dict(os.environ)).run()


if __name__ == "__main__":
    main()
