"""The disk of the harness is filled to its last byte, in a container, whose small disk needs no root."""

import subprocess
from pathlib import Path

import pytest

from moonmind_appliance import settings
from tests.faults import small_disk

pytestmark = [pytest.mark.docker, pytest.mark.image]

SCRIPT = """
import os
from pathlib import Path
{source}
disk = SmallDisk(Path("/small"), 0)
(disk.folder / "kept").write_bytes(b"x" * 5000)
try:
    for _ in range(2):
        disk.fill()
        print(disk.free_bytes)
    (disk.folder / "refused").write_bytes(b"x")
except OSError as error:
    print(os.strerror(error.errno))
disk.free()
print(disk.free_bytes > 900_000, sorted(path.name for path in disk.folder.iterdir()))
"""


def test_a_full_disk_takes_no_byte_and_is_freed_again() -> None:
    """It may be filled twice. What was on it stays."""
    source = Path(small_disk.__file__).read_text(encoding="utf-8")
    options = ("--rm", "--interactive", "--tmpfs", "/small:uid=1000,size=1m", "--entrypoint", "python3")
    image = settings.load({}).settings.spec_automation_job_image
    ran = subprocess.run(
        ["docker", "run", *options, image, "-"],
        input=SCRIPT.format(source=source),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines() == [
        "0",
        "0",
        "No space left on device",
        "True ['kept', 'refused']",
    ], ran.stderr
