"""`moonmind-appliance`, except that it fills its data folder's disk at the point that the harness arms."""

import os
from pathlib import Path

from moonmind_appliance.cli import main
from tests.faults.points import ARM_FILE_VARIABLE, Armed, install
from tests.faults.small_disk import fill

install(Armed(Path(os.environ[ARM_FILE_VARIABLE]), lambda: fill(Path(os.environ["MOONMIND_DATA_DIR"]))))
main()
