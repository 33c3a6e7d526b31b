"""`moonmind-appliance`, except that it kills itself at the point that the harness arms; see `points.py`."""

import os
from pathlib import Path

from moonmind_appliance.cli import main
from tests.faults.points import ARM_FILE_VARIABLE, Armed, install

install(Armed(Path(os.environ[ARM_FILE_VARIABLE])))
main()
