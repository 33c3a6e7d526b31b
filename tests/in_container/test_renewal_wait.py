"""A container with a login broker is removed when no renewal is in progress."""

import subprocess
import sys
from pathlib import Path

from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.renewal_wait import is_renewing


def test_a_renewal_has_a_folder_and_a_broker_that_runs(tmp_path: Path) -> None:
    """A folder that a killed broker left is no renewal, and the waiting program is no broker."""
    home, processes, folder = tmp_path / "home", tmp_path / "proc", tmp_path / "home/codex-abc"
    for number, argv in (("1", ["docker-init", "sleep"]), ("12", command("renewal_wait", {})), ("13", None)):
        (processes / number).mkdir(parents=True)
        if argv is not None:
            (processes / number / "cmdline").write_bytes("\0".join(argv).encode())
    folder.mkdir(parents=True)
    assert not is_renewing(home, processes)
    (processes / "14").mkdir()
    (processes / "14/cmdline").write_bytes("\0".join(command("login_broker", {})).encode())
    assert is_renewing(home, processes)
    folder.rmdir()
    assert not is_renewing(home, processes)


def test_it_ends_with_the_renewal_or_after_its_time(tmp_path: Path) -> None:
    """The end of the container must not wait for ever."""
    folder, env = tmp_path / "codex-abc", {"HOME": str(tmp_path)}
    _, *arguments = command("renewal_wait", {"seconds": 60})
    _, *brief = command("renewal_wait", {"seconds": 0.2})
    folder.mkdir()
    broker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "login_broker", "{}"])
    try:
        assert subprocess.run([sys.executable, *brief], env=env, timeout=30, check=False).returncode == 0
        waiting = subprocess.Popen([sys.executable, *arguments], env=env)
        folder.rmdir()
        assert waiting.wait(30) == 0
    finally:
        broker.kill()
        broker.wait()
