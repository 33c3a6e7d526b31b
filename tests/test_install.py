"""`install.sh` and `tests/run`: options, errors, and what an uninstall removes. Installing needs a fresh machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.settings import default_of, options, show

ROOT = Path(__file__).parents[1]


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("script", ["install.sh", "tests/run"])
def test_help(script: str) -> None:
    """`--help` explains each option and does nothing."""
    done = call(ROOT / script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert script in done.stdout.splitlines()[0]


def test_help_names_every_option() -> None:
    """Every option that the script reads is in its help; `-h` prints the same text."""
    text = (ROOT / "install.sh").read_text(encoding="utf-8")
    read = set(re.findall(r"--[a-z-]+", text[text.index("while (($#))") : text.index("unknown option")]))
    assert {option for option in read if option not in call(ROOT / "install.sh", "-h").stdout} == set()
    assert {"--prefix", "--uninstall", "--purge-data"} < read


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--no-such-option"], "unknown option: --no-such-option"),
        (["--ref="], "unknown option: --ref="),
        (["folder"], "unknown option: folder"),
        (["--prefix"], "--prefix needs a folder: --prefix DIR."),
        (["--prefix", ""], "--prefix needs a folder, and it is empty."),
        (["--prefix="], "--prefix needs a folder, and it is empty."),
        (["--prefix", "--prepare"], "--prefix needs a folder, and --prepare looks like an option"),
        (["--prefix", "/"], "--prefix needs a folder of its own, not /."),
        (["--prefix", "/etc/passwd"], "--prefix /etc/passwd: /etc/passwd is not a folder."),
        (["--prefix=/etc/passwd/below"], "--prefix /etc/passwd/below: /etc/passwd is not a folder."),
        (["--prefix", "/srv/a", "--prefix=/srv/b"], "--prefix is given twice: /srv/a and /srv/b."),
        (["--no-rehearsal=no"], "--no-rehearsal takes no value."),
        (["--prepare", "--uninstall"], "--prepare and --uninstall cannot be combined."),
        (["--prepare", "--no-rehearsal"], "--prepare and --no-rehearsal cannot be combined."),
        (["--from"], "--from needs a release file: --from FILE."),
        (["--from", "--prepare"], "--from needs a release file: --from FILE."),
        (["--from=/nonexistent.pyz"], "--from /nonexistent.pyz: there is no such file, or it cannot be read."),
        (["--from", "/etc"], "--from /etc: there is no such file, or it cannot be read."),
        (["--from", "/etc/hosts", "--from=/etc/passwd"], "--from is given twice: /etc/hosts and /etc/passwd."),
        (["--from", "/etc/hosts", "--uninstall"], "--uninstall and --from cannot be combined."),
        (["--purge-data"], "--purge-data is for --uninstall only."),
    ],
)
def test_wrong_options(options: list[str], problem: str) -> None:
    """A wrong option ends the script with 2 before anything is done; the message names the option."""
    done = call(ROOT / "install.sh", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"install.sh: {problem}")
    assert "./install.sh --help" in done.stderr


def test_a_file_that_is_not_a_release_file(tmp_path: Path) -> None:
    """Neither a text nor another zip archive is run, not even one that Python could run."""
    archive = tmp_path / "other.pyz"
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("__main__.py", "print('it ran')")
    for file in (ROOT / "install.sh", archive):
        done = call(ROOT / "install.sh", "--from", file)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"install.sh: --from {file}: not a release file, or it is incomplete.\n"
            "What to do: use the .pyz file of a release.\n"
        )


class Machine:
    """A machine in a folder, with `install.sh`'s paths below it, and commands that only record their arguments."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.prefix = folder / "opt"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.link = self.root / "usr/local/bin/moonmind-appliance"
        self.unit = self.root / "etc/systemd/system/moonmind-appliance.service"
        self.log = self.root / "var/log/moonmind-appliance-install.log"
        self.settings = self.root / "etc/moonmind-appliance/appliance.env"
        self.data = self.root / "var/lib/moonmind-appliance"
        self.calls.touch()
        self.command("docker", self.bin, 'case "$*" in "image ls"*) echo moonmind/base:bookworm ;; esac')
        self.command("systemctl", self.bin)
        (self.root / "run/systemd/system").mkdir(parents=True)
        self.data.mkdir(parents=True)
        for file in (self.unit, self.log, self.settings):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def command(self, name: str, folder: Path, more: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{more}\n', encoding="utf-8")
        file.chmod(0o755)
        return file

    def install(self, prefix: Path, purge: str = "") -> Path:
        """An installed environment; `purge` is shell code of its command."""
        (prefix / "tools").mkdir(parents=True)
        return self.command("moonmind-appliance", prefix / "venv/bin", purge)

    def point_command_at(self, target: Path) -> None:
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.symlink_to(target)

    def run(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        path = f"{self.bin}:{os.environ['PATH']}"
        return call(ROOT / "install.sh", *options, DESTDIR=str(self.root), PATH=path)

    def step(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """One step of the script, with these variables."""
        given = "".join(f"export {variable}={value}; " for variable, value in variables.items())
        return call("bash", "-c", f". {ROOT / 'install.sh'}; {given}{name}", DESTDIR=str(self.root))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_uninstall_removes_what_the_installation_made(machine: Machine) -> None:
    """Service, command, environment, workspaces, images and log are removed; data, settings and logins are kept."""
    machine.point_command_at(machine.install(machine.prefix))
    done = machine.run("--uninstall")
    assert (done.returncode, done.stderr) == (0, "")
    left = [machine.prefix, machine.link, machine.unit, machine.log]
    assert [path for path in left if path.exists() or path.is_symlink()] == []
    assert machine.settings.exists()
    assert machine.data.exists()
    assert machine.calls.read_text(encoding="utf-8").splitlines() == [
        "systemctl disable --now moonmind-appliance",
        "systemctl daemon-reload",
        "moonmind-appliance purge --yes",
        "docker version",
        "docker image inspect moonmind/spec-automation-job:latest",
        "docker image rm moonmind/spec-automation-job:latest",
        "docker image prune --force --filter label=moonmind.build",
        "docker image ls --format {{.Repository}}:{{.Tag}} moonmind/base",
        "docker image rm moonmind/base:bookworm",
    ]


def test_uninstall_with_purge_data_removes_everything(machine: Machine) -> None:
    """`--purge-data` also removes data, settings and logins."""
    machine.point_command_at(machine.install(machine.prefix))
    done = machine.run("--uninstall", "--purge-data")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for path in machine.root.rglob("*") if "moonmind" in path.name] == []
    assert "moonmind-appliance purge --yes --logins --data\n" in machine.calls.read_text(encoding="utf-8")


def test_uninstall_twice(machine: Machine) -> None:
    """A second removal finds nothing, and succeeds."""
    machine.point_command_at(machine.install(machine.prefix))
    machine.run("--uninstall")
    done = machine.run("--uninstall", "--prefix", machine.prefix)
    assert (done.returncode, done.stderr) == (0, "")


def test_uninstall_keeps_the_files_of_others(machine: Machine) -> None:
    """A prefix that also contains other files keeps them."""
    machine.point_command_at(machine.install(machine.prefix))
    (machine.prefix / "other").touch()
    done = machine.run("--uninstall")
    assert f"left: {machine.prefix} contains other files" in done.stdout
    assert list(machine.prefix.iterdir()) == [machine.prefix / "other"]


def test_uninstall_stops_before_it_removes_the_command(machine: Machine) -> None:
    """When the containers cannot be removed, the command stays, so that the removal can be repeated."""
    command = machine.install(machine.prefix, purge="echo 'error: no engine' >&2; exit 3")
    machine.point_command_at(command)
    done = machine.run("--uninstall")
    assert done.returncode == 1
    assert "error: no engine" in done.stdout
    assert "install.sh --uninstall again" in done.stderr
    assert command.exists()
    assert "docker" not in machine.calls.read_text(encoding="utf-8")


def test_ctrl_c_says_that_it_can_be_run_again(machine: Machine) -> None:
    """The step that runs is interrupted, and no later one starts."""
    machine.point_command_at(machine.install(machine.prefix, purge="kill -INT 0; sleep 9"))
    # A process group of its own; a shell that runs the tests in the background sets SIGINT to ignored.
    alone = ("env", "--default-signal=INT", "setsid")
    path = f"{machine.bin}:{os.environ['PATH']}"
    done = call(*alone, ROOT / "install.sh", "--uninstall", DESTDIR=str(machine.root), PATH=path)
    assert done.returncode == 130
    assert done.stderr == "\ninstall.sh: stopped; run it again to continue.\n"
    assert "docker" not in machine.calls.read_text(encoding="utf-8")


def test_next_steps_name_the_command_of_this_installation(machine: Machine) -> None:
    """By its short name if a shell finds this installation by it, and by its path if not."""
    machine.point_command_at(machine.install(machine.prefix))
    steps = ["login-shard 0", "doctor"]
    path = f"{machine.link.parent}:{os.environ['PATH']}"
    for prefix, command in ((machine.prefix, "moonmind-appliance"), ("/srv", "/srv/venv/bin/moonmind-appliance")):
        done = machine.step("next_steps", prefix=str(prefix), PATH=path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[1:] == [f"  {command} {step}" for step in steps]
        assert f"GITHUB_TOKEN in {machine.settings}" in done.stdout


def test_uninstall_of_a_second_installation(machine: Machine, tmp_path: Path) -> None:
    """What belongs to the installation that the command runs is left."""
    first, second = machine.install(machine.prefix), tmp_path / "second"
    machine.point_command_at(first)
    machine.install(second)
    done = machine.run("--uninstall", "--prefix", second)
    assert (done.returncode, done.stderr) == (0, "")
    assert not second.exists()
    assert all(path.exists() for path in (first, machine.link, machine.unit, machine.log))
    assert machine.calls.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(
    ("relink", "runs", "message"),
    [("", "first", "is not changed; use"), ("yes", "second", "->")],
)
def test_a_second_prefix_does_not_take_the_command(machine: Machine, relink: str, runs: str, message: str) -> None:
    """The command changes to another installation only with `--relink`."""
    commands = {name: machine.install(machine.prefix / name) for name in ("first", "second")}
    machine.point_command_at(commands["first"])
    done = machine.step("link_command", prefix=str(machine.prefix / "second"), relink=relink)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.link.readlink() == commands[runs]
    assert message in done.stdout


def test_a_command_without_its_installation_is_replaced(machine: Machine) -> None:
    """A link to an installation that was removed by hand is no reason to ask."""
    machine.point_command_at(machine.prefix / "gone/venv/bin/moonmind-appliance")
    command = machine.install(machine.prefix / "new")
    machine.step("link_command", prefix=str(machine.prefix / "new"), relink="")
    assert machine.link.readlink() == command


def test_a_file_in_the_commands_place_is_kept(machine: Machine) -> None:
    """Another program's file is never overwritten, not even with `--relink`."""
    machine.link.parent.mkdir(parents=True)
    machine.link.write_text("another program", encoding="utf-8")
    done = machine.step("link_command", prefix=str(machine.prefix), relink="yes")
    assert "is not a link, so it is not changed" in done.stdout
    assert machine.link.read_text(encoding="utf-8") == "another program"


def test_the_unit_raises_the_file_limit(machine: Machine) -> None:
    """The default of systemd, 1024 files, is less than the connections that the API accepts."""
    unit = machine.step("service_unit").stdout
    assert "LimitNOFILE=65536\n" in unit


def test_the_unit_is_restarted_whenever_it_ends_or_hangs(machine: Machine) -> None:
    """And without a limit: a start that fails now may succeed without a person. Nothing of its memory is saved."""
    unit = machine.step("service_unit").stdout.splitlines()
    assert {"Type=notify", "WatchdogSec=60", "Restart=always", "StartLimitIntervalSec=0", "LimitCORE=0"} <= set(unit)


def environment(machine: Machine) -> None:
    """The Python of the tests as the installed one."""
    python = machine.prefix / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)


def test_the_unit_is_restricted(machine: Machine, tmp_path: Path) -> None:
    """The unit is valid, and its exposure is below 3.0 of 10: it uses Docker's socket as root, and the network."""
    unit = tmp_path / "moonmind-appliance.service"
    text = machine.step("service_unit", prefix=str(machine.prefix)).stdout
    unit.write_text(re.sub("^ExecStart=.*", "ExecStart=/bin/true serve", text, flags=re.MULTILINE), encoding="utf-8")
    assert call("systemd-analyze", "verify", unit).stderr == ""
    shown = call("systemd-analyze", "security", "--offline=yes", "--no-pager", unit).stdout
    found = re.search(r"Overall exposure level for moonmind-appliance.service: ([0-9.]+)", shown)
    assert found is not None
    assert float(found[1]) < 3.0, shown


@pytest.mark.parametrize(
    ("lines", "folders"),
    [
        ("", ["/var/lib/moonmind-appliance"]),
        ("MOONMIND_DATA_DIR='{0}/100% mine'", ["{0}/100%% mine"]),
        ("MOONMIND_DATA_DIR={0}/linked", ["{0}/linked", "{0}/other disk"]),
        ("MOONMIND_PORT=x", ["/var/lib/moonmind-appliance"]),
    ],
)
def test_the_unit_lets_the_service_write_to_its_data_folder(
    machine: Machine, tmp_path: Path, lines: str, folders: list[str]
) -> None:
    """This includes one that the settings name, and the target of a link to another disk."""
    environment(machine)
    for folder in ("linked", "other disk"):
        (tmp_path / folder).mkdir()
    (tmp_path / "linked/runs").symlink_to(tmp_path / "other disk")
    machine.settings.write_text(lines.format(tmp_path) + "\n", encoding="utf-8")
    unit = machine.step("service_unit", prefix=str(machine.prefix)).stdout.splitlines()
    expected = [folder.format(tmp_path) for folder in folders]
    assert [line for line in unit if line.startswith("ReadWritePaths=")] == [
        f'ReadWritePaths="{folder}"' for folder in expected
    ]
    assert {f'ExecStartPre=+/bin/mkdir -p -m 0700 -- "{folder}"' for folder in expected} <= set(unit)


def test_the_python_environment_gets_its_sbom(machine: Machine) -> None:
    """It lists the packages that are installed, in CycloneDX format."""
    environment(machine)
    done = machine.step("write_sbom", prefix=str(machine.prefix))
    assert done.returncode == 0, done.stderr
    bill = json.loads((machine.prefix / "venv/sbom.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "moonmind-appliance")
    assert {"litestar", "huey"} <= {each["name"] for each in bill["components"]}


def test_the_unit_is_that_of_the_version_that_the_command_runs(machine: Machine) -> None:
    """Another installation's version might not report to systemd what a new unit expects."""
    machine.unit.write_text("an older unit", encoding="utf-8")
    machine.point_command_at(machine.install(machine.prefix / "old"))
    done = machine.step("step_total=1; log=/dev/null; service", prefix=str(machine.prefix / "new"))
    assert f"the unit is not changed: {machine.link} runs" in done.stdout
    assert machine.unit.read_text(encoding="utf-8") == "an older unit"
    log, path = machine.root / "log", f"{machine.bin}:{os.environ['PATH']}"
    done = machine.step(f"PATH={path}; step_total=1; log={log}; service", prefix=str(machine.prefix / "old"))
    assert "installed, not started" in done.stdout
    assert "Type=notify" in machine.unit.read_text(encoding="utf-8")


def test_the_new_env_file_has_every_setting_with_its_default(machine: Machine) -> None:
    """Commented out, except for the CA bundle and the proxy to GitHub that were given."""
    machine.command("python", machine.prefix / "venv/bin", f'exec {sys.executable} "$@"')
    given = {
        "EXTRA_CA_CERTS": "/etc/hosts",
        "GITHUB_HTTPS_PROXY": "http://ann:word%40@proxy:3128",
        "GITHUB_NO_PROXY": "corp.example",
    }
    done = machine.step("env_template", prefix=str(machine.prefix), **given)
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(re.findall(r"^(#?[A-Z0-9_]+)=(.*)$", done.stdout, re.MULTILINE))
    assert {name: lines.pop(name) for name in given} == given
    assert lines == {f"#{name}": show(name, default_of(name)) for name in options() if name not in given}


def test_ca_bundle_that_is_not_there() -> None:
    """A CA bundle that cannot be read is named before anything is done."""
    done = call(ROOT / "install.sh", "--prepare-uv", EXTRA_CA_CERTS="/nonexistent/ca.pem")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nonexistent/ca.pem" in done.stderr
    assert "What to do: " in done.stderr


def test_engine_that_was_named_and_does_not_answer(tmp_path: Path) -> None:
    """An engine that the caller chose is not replaced by a local one."""
    done = call(ROOT / "install.sh", "--prepare", "--prefix", tmp_path, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 1
    assert "unix:///nonexistent/docker.sock" in done.stderr
    assert "unset DOCKER_HOST" in done.stderr


def test_not_root(open_folder: Path) -> None:
    """A user who may not install gets the error at once, with what to do."""
    script = shutil.copy(ROOT / "install.sh", open_folder)
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    done = call(*drop, "bash", script)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs root" in done.stderr
    assert "sudo" in done.stderr


def test_fast_leaves_out_what_needs_more_than_python() -> None:
    """Each marker but `alone` names something that `tests/run --fast` does not bring."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    markers = {line.partition(":")[0] for line in options["markers"]} - {"alone"}
    chosen = re.search(r'selection=\(-m "([^"]*)"\)', (ROOT / "tests/run").read_text(encoding="utf-8"))
    assert chosen
    assert set(chosen[1].split(" and ")) == {f"not {marker}" for marker in markers}


@pytest.mark.parametrize(
    ("script", "said", "next_step"),
    [
        ("commands.sh", "missing: curl jq", "run this as root, or install them by hand: curl jq"),
        ("keycloak.sh", "missing: default-jdk-headless maven unzip", "run this as root"),
        ("compose.sh", "uv is not there", "run tests/run --fast once"),
        ("newman.sh", "uv is not there", "run tests/run --fast once"),
        ("promtool.sh", "promtool is missing, and this system is neither Debian nor Ubuntu", "install Prometheus"),
    ],
)
def test_setup_that_cannot_continue(open_folder: Path, script: str, said: str, next_step: str) -> None:
    """On a bare machine, a setup script that may not install reports what is missing and what to do."""
    copy = shutil.copytree(ROOT / "tests/setup", open_folder / "tests/setup")
    commands = open_folder / "bin"
    commands.mkdir()
    for name in ("basename", "bash", "cmp", "dirname", "flock", "grep", "head", "mkdir", "sed", "sha256sum", "sort"):
        (commands / name).symlink_to(str(shutil.which(name)))
    cache = open_folder / "cache"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    setpriv = str(shutil.which("setpriv"))
    drop = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*drop, str(shutil.which("bash")), copy / script],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": str(commands), "TEST_CACHE": str(cache)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{script}: {said}" in done.stderr
    assert f"{script}: What to do: {next_step}" in done.stderr
