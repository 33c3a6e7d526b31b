"""Tries the installed service on a booted systemd: install, start, work, kill, hang, block, stop, reboot, remove.

A Debian of its own runs in systemd-nspawn: `install.sh` installs the checkout's last commit there, with this machine's
Docker engine, and systemd supervises the real process. It needs root, `systemd-container` and `debootstrap`, and takes
about ten minutes; the system is kept in TEST_CACHE. It is not part of the tests: it needs more rights than a
container of a CI service has.

Run it by itself: `python tests/systemd/run.py [--release bookworm]`. It prints each step and ends with 1 at the first
that does not do what it should.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("TEST_CACHE", Path.home() / ".cache/moonmind-appliance-tests")) / "systemd"
PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,curl,git,python3,python3-venv,procps"
UNIT = "moonmind-appliance"
PORT = 5871
SETTINGS = f"MOONMIND_PORT={PORT}\nCODEX_VOLUME_PREFIX=systemd_trial_\nCODEX_SHARDS=1\n"
MOST_EXPOSURE = 3.0
# The shorter interval only saves time.
WATCHDOG = 12
DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG}\nEnvironment=PYTHONPATH=/srv/block\n"
# The signal handler runs in the main thread, in which the event loop is.
BLOCK = "import signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: time.sleep(1e6))\n"


class Machine:
    """A booted Debian in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._console = folder.parent / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Start it, and wait until its systemd has started everything."""
        options = ["--quiet", "--register=no", "--keep-unit", "--boot", f"--machine={self.name}"]
        self._process = subprocess.Popen(
            ["systemd-nspawn", *options, f"--directory={self.folder}", "--bind=/run/docker.sock"],
            stdin=subprocess.DEVNULL,
            stdout=self._console.open("ab"),
            stderr=subprocess.STDOUT,
        )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with suppress(FileNotFoundError):
            until("it boots", 60, lambda: children.read_text().split() != [])
        if self._process.poll() is not None:
            raise SystemExit(f"FAILED: systemd-nspawn ended:\n{self._console.read_text()}")
        self._init = int(children.read_text().split()[0])
        until("systemd is up", 120, lambda: self.run("systemctl is-system-running", check=False) in UP)

    def run(self, command: str, *, check: bool = True) -> str:
        """The output of a shell command in it."""
        enter = ["nsenter", f"--target={self._init}", "--all", "--", "/usr/bin/env", "-i", *self.environment()]
        done = subprocess.run([*enter, "bash", "-c", command], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return (done.stdout + done.stderr).strip()

    def environment(self) -> list[str]:
        names = ("PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
        given = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
        return ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *given]

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.run(f"systemctl show --value --property={name} {UNIT}")

    def ended(self, seconds: float) -> None:
        """Wait for its end, after a reboot or a power-off."""
        assert self._process is not None
        self._process.wait(seconds)

    def power_off(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(SystemExit):
                self.run("systemctl poweroff", check=False)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()


UP = ("running", "degraded")
# One step of install.sh by itself.
STEP = "cd /srv/source; . ./install.sh; step_total=1 log=/dev/null"


def until(what: str, seconds: float, done: Callable[[], bool]) -> float:
    """Wait for it; returns the seconds that it took."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"FAILED: {what}: not within {seconds:g} s.")
        time.sleep(0.2)
    return time.monotonic() - began


def check(what: str, *, holds: bool, seen: str = "") -> None:
    """Print a fact, or end."""
    if not holds:
        raise SystemExit(f"FAILED: {what}. Seen: {seen}")
    print(f"    {what}{f': {seen}' if seen else ''}", flush=True)


def base_system(release: str) -> Path:
    """A Debian with what the installation needs, made once. No Docker engine: a second one would disturb the first."""
    base = CACHE / release
    if not base.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=CACHE))
        print(f"== Debian {release} is fetched", flush=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(part)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        part.chmod(0o755)
        part.rename(base)
    return base


@contextmanager
def machine(release: str) -> Iterator[Machine]:
    """A new copy of the base system, with the last commit in /srv/source."""
    base = base_system(release)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch) / "root"
        subprocess.run(["cp", "--archive", "--reflink=auto", base, folder], check=True)
        source = folder / "srv/source"
        source.mkdir()
        archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        shutil.copy(str(shutil.which("docker")), folder / "usr/local/bin/docker")
        for certificate in Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(certificate, folder / "usr/local/share/ca-certificates")
        subprocess.run(["chroot", folder, "update-ca-certificates"], check=True, stdout=subprocess.DEVNULL)
        (folder / "srv/block").mkdir()
        (folder / "srv/block/sitecustomize.py").write_text(BLOCK, encoding="utf-8")
        booted = Machine(folder, f"moonmind-{os.getpid()}")
        try:
            booted.boot()
            yield booted
        finally:
            booted.power_off()


def restarted(it: Machine, why: str, seconds: float, act: Callable[[int], object]) -> None:
    """Do something to the process; systemd must start another one, which accepts requests."""
    before, count = it.show("MainPID"), int(it.show("NRestarts"))
    began = time.monotonic()
    act(int(before))
    until("another process is ready", seconds, lambda: it.show("MainPID") not in ("0", before) and is_ready(it))
    took = time.monotonic() - began
    check(f"{why}: restarted and ready again after {took:.1f} s", holds=int(it.show("NRestarts")) == count + 1)


def is_ready(it: Machine) -> bool:
    return it.show("ActiveState") == "active" and answers(it)


def answers(it: Machine) -> bool:
    return '"status":"ok"' in it.run(f"curl -s localhost:{PORT}/api/spec-automation/health", check=False)


def journal(it: Machine, pattern: str, lines: int = 3) -> None:
    """Show the last lines of the unit's journal that match."""
    text = it.run(f"journalctl --no-pager --output=cat --unit={UNIT}")
    found = [line for line in text.splitlines() if re.search(pattern, line)]
    check(f"the journal has a line like {pattern!r}", holds=bool(found))
    print("".join(f"      | {line[:180]}\n" for line in found[-lines:]), end="", flush=True)


def install(it: Machine) -> None:
    print("== Installed by install.sh")
    print("\n".join(it.run("cd /srv/source && ./install.sh --no-rehearsal").splitlines()[-14:]))
    check("systemd has no complaint about the unit", holds=not it.run(f"systemd-analyze verify {UNIT}.service"))
    it.run(f"printf '{SETTINGS}' >> /etc/{UNIT}/appliance.env".replace("\n", "\\n"))


def start(it: Machine) -> None:
    print("== Enabled and started")
    began = time.monotonic()
    it.run(f"systemctl enable --now {UNIT}")
    took = time.monotonic() - began
    check(f"`systemctl enable --now` returned after {took:.1f} s, and requests are accepted", holds=answers(it))
    until("there is a status line", 30, lambda: "logins usable" in it.show("StatusText"))
    check("systemctl status shows", holds=True, seen=it.show("StatusText"))
    check("WatchdogSec", holds=it.show("WatchdogUSec") == "1min", seen=it.show("WatchdogUSec"))
    time.sleep(75)
    check("alive after more than one interval", holds=it.show("NRestarts") == "0", seen=it.show("WatchdogTimestamp"))


def work_restricted(it: Machine) -> None:
    """A rehearsal is a complete run; here it replaces `serve`. This scenario also signs with RSA."""
    print("== A complete run under the unit's restrictions")
    shown = it.run(f"systemd-analyze security --no-pager {UNIT}").splitlines()[-1]
    check("systemd-analyze security", holds=float(re.findall(r"[0-9.]+", shown)[-1]) < MOST_EXPOSURE, seen=shown)
    filtered = it.run(f"grep -E '^(Seccomp|NoNewPrivs|CapBnd)' /proc/{it.show('MainPID')}/status")
    check(
        "the process has a filter of system calls", holds="Seccomp:\t2" in filtered, seen=filtered.replace("\n", ", ")
    )
    enter = f"nsenter --target={it.show('MainPID')} --mount --"
    for folder, writable in (("/etc", False), ("/usr", False), ("/srv", False), (f"/var/lib/{UNIT}", True)):
        done = it.run(f"{enter} touch {folder}/trial && {enter} rm {folder}/trial && echo written", check=False)
        check(f"{folder} can{'' if writable else 'not'} be written", holds=("written" in done) == writable, seen=done)
    command = "rehearse --scenario github-app"
    change = rf"/^(Restart|WatchdogSec)/d; s/^Type=.*/Type=oneshot/; s/^(ExecStart=.*) serve$/\1 {command}/"
    it.run(f"sed -E '{change}' /etc/systemd/system/{UNIT}.service > /run/systemd/system/trial.service")
    it.run("systemctl daemon-reload; systemctl start trial", check=False)
    text = it.run("journalctl --no-pager --output=cat --unit=trial")
    result = it.run("systemctl show --value --property=Result trial")
    check("a rehearsal", holds=result == "success", seen=f"{result}\n{text[-1500:]}")
    it.run("rm /run/systemd/system/trial.service; systemctl daemon-reload")


def shorten_watchdog(it: Machine) -> None:
    print(f"== A shorter watchdog, {WATCHDOG} s")
    it.run(f"mkdir -p /etc/systemd/system/{UNIT}.service.d")
    it.run(f"printf '{DROP_IN}' > /etc/systemd/system/{UNIT}.service.d/trial.conf".replace("\n", "\\n"))
    it.run(f"systemctl daemon-reload && systemctl restart {UNIT}")


def kill(it: Machine) -> None:
    print("== Killed")
    restarted(it, "SIGKILL", 60, lambda pid: it.run(f"kill -KILL {pid}"))
    journal(it, r"status=9/KILL")
    restarted(it, "SIGTERM that systemd did not send", 60, lambda pid: it.run(f"kill -TERM {pid}"))


def hang(it: Machine) -> None:
    print("== Hung")
    restarted(it, "SIGSTOP", 180, lambda pid: it.run(f"kill -STOP {pid}"))
    journal(it, r"Watchdog timeout")
    restarted(it, "a blocked event loop", 180, lambda pid: it.run(f"kill -USR1 {pid}"))
    journal(it, r"The event loop has been blocked")
    journal(it, r"Fatal Python error: Aborted|sitecustomize")


def break_settings(it: Machine) -> None:
    print("== Wrong settings")
    it.run(f"echo MOONMIND_PORT=x >> /etc/{UNIT}/appliance.env; systemctl restart {UNIT}", check=False)
    until("it is tried again", 30, lambda: int(it.show("NRestarts")) >= 2)
    journal(it, r"MOONMIND_PORT.*:", 1)
    it.run(f"sed -i /MOONMIND_PORT=x/d /etc/{UNIT}/appliance.env")
    check(f"corrected: ready by itself after {until('ready', 60, lambda: is_ready(it)):.1f} s", holds=True)


def stop(it: Machine) -> None:
    print("== Stopped")
    began = time.monotonic()
    it.run(f"systemctl stop {UNIT}")
    check(
        f"stopped after {time.monotonic() - began:.1f} s", holds=it.show("Result") == "success", seen=it.show("Result")
    )
    time.sleep(8)
    check("stays stopped", holds=it.show("ActiveState") == "inactive")
    journal(it, r"Stopped in")


def reboot(it: Machine) -> None:
    print("== Rebooted")
    it.run("systemctl reboot", check=False)
    it.ended(90)
    it.boot()
    check(f"ready {until('ready', 60, lambda: is_ready(it)):.1f} s after the boot", holds=True)
    it.run("systemctl poweroff", check=False)
    it.ended(90)
    it.boot()
    check(f"after a power-off ready {until('ready', 60, lambda: is_ready(it)):.1f} s after the boot", holds=True)


def update(it: Machine) -> None:
    print("== An older unit and process, updated while they run")
    old = r"sed -i '/^Type=/d; /^WatchdogSec=/d; s/^Restart=.*/Restart=on-failure/'"
    it.run(f"{old} /etc/systemd/system/{UNIT}.service; rm -r /etc/systemd/system/{UNIT}.service.d")
    it.run(f"systemctl daemon-reload; systemctl restart {UNIT}")
    until("the old unit runs", 60, lambda: answers(it))
    pid = it.show("MainPID")
    it.run("cd /srv/source && ./install.sh --no-rehearsal")
    time.sleep(75)
    check("install.sh changed the unit, and the process still runs", holds=it.show("MainPID") == pid, seen=pid)
    it.run(f"systemctl restart {UNIT}")
    check("restarted with the new unit", holds=it.show("Type") == "notify" and answers(it))


def remove(it: Machine) -> None:
    print("== Removed")
    # Not with `install.sh --uninstall`: it would remove the job image, which this machine's other tests use.
    it.run(f"{STEP} prefix=/opt/{UNIT}; stop_service; moonmind-appliance purge --yes --logins --data")
    check("the unit is gone", holds=it.show("LoadState") == "not-found", seen=it.show("LoadState"))


STEPS = (install, start, work_restricted, shorten_watchdog, kill, hang, break_settings, stop, reboot, update, remove)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", default="bookworm", help="Debian's release (bookworm, trixie)")
    release = parser.parse_args().release
    for program, package in (("systemd-nspawn", "systemd-container"), ("debootstrap", "debootstrap")):
        if not shutil.which(program):
            sys.exit(f"{program} is missing: apt-get install {package}")
    began = time.monotonic()
    with machine(release) as it:
        print("==", it.run("systemctl --version").splitlines()[0])
        for step in STEPS:
            step(it)
    print(f"Everything as it should be, after {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
