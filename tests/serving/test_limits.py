"""The limits follow from the number of files that the process may open."""

import subprocess
import sys

import pytest

from moonmind_appliance.serving.limits import limits_of


@pytest.mark.parametrize(
    ("files", "connections", "of_one"),
    [(64, 16, 8), (1024, 384, 192), (4096, 1920, 256), (1_048_576, 2048, 256)],
)
def test_connections_leave_files_for_the_rest(files: int, connections: int, of_one: int) -> None:
    """A connection may also have an artifact open; the database, Docker and GitHub need files, too."""
    limits = limits_of(files)
    assert (limits.connections, limits.connections_of_one_address) == (connections, of_one)


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 1024, 1024), (1024, 1024, 1024), (512, 100_000, 65_536)])
def test_the_soft_limit_on_open_files_is_raised(soft: int, hard: int, expected: int) -> None:
    """To the hard limit, at most to 65,536; a second call changes nothing."""
    program = (
        "import resource\n"
        "from moonmind_appliance.serving.limits import raise_file_limit\n"
        "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        f"hard = {hard} if most == resource.RLIM_INFINITY else min({hard}, most)\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, hard))\n"
        f"assert raise_file_limit() == raise_file_limit() == min({expected}, hard)\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raise_file_limit()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
