"""Checks, inside the job image and as its user, that everything the appliance needs is present.

The image's build runs it and fails with it; `docker run --rm IMAGE python3 /opt/job-image/smoke.py` runs it again, also
in an operator's own image. It needs no network: Codex runs one whole turn against a server in this process.
CODEX_VERSION and SPEC_KIT_VERSION, when set, are the versions that must be found.
"""
# ruff: noqa: INP001 - a script that the image carries alone, part of no package

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCAFFOLD = Path("/opt/spec-kit/scaffold")
# Where Debian and Ubuntu put Python packages.
DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"
PHASE_SKILLS = ("speckit-specify", "speckit-plan", "speckit-tasks")

# What the appliance writes into Codex's configuration. `--strict-config` refuses a key unknown to this version.
CONFIGURATION = """\
check_for_update_on_startup = false
cli_auth_credentials_store = "file"
web_search = "disabled"
[analytics]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
unbounded_connection_retries = false
enable_request_compression = false
image_generation = false
[shell_environment_policy]
inherit = "core"
"""


class MissingError(Exception):
    """Something the appliance needs is not in this image, or not as expected; the message names it."""


def require(condition: object, message: str) -> None:
    """Raise MissingError with that message unless the condition is true."""
    if not condition:
        raise MissingError(message)


def output_of(*command: str, env: dict[str, str] | None = None, stdin: str | None = None, status: int = 0) -> str:
    """The command's output on stdout and stderr; it must end with that exit status within a minute."""
    try:
        done = subprocess.run(  # noqa: S603 - the commands are written in this file
            command,
            env=env,
            input=stdin or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        raise MissingError(f"{command[0]} is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"`{' '.join(command)}` did not end within 60 s") from None
    require(
        done.returncode == status,
        f"`{' '.join(command)}` ended with {done.returncode}, not {status}:\n{done.stdout[-2000:]}",
    )
    return done.stdout


class StandIn(ThreadingHTTPServer):
    """Answers like OpenAI's Responses API and device login for one turn: a shell call, then a final message."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.turns: list[dict[str, Any]] = []
        self.paths: list[str] = []

    @property
    def address(self) -> str:
        """Its address, without a trailing slash."""
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """One request to the stand-in."""

    server: StandIn

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer 404: only turns are known."""
        self.send_error(404)

    def do_POST(self) -> None:
        """Answer a turn with server-sent events; refuse a device login permanently."""
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.paths.append(self.path)
        if not self.path.endswith("/responses"):
            self.send_error(429)
            return
        self.server.turns.append(json.loads(body))
        first = len(self.server.turns) == 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        response = {"id": f"resp-{len(self.server.turns)}"}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        self._event("response.created", response=response)
        self._event("response.output_item.done", item=SHELL_CALL if first else LAST_WORD)
        self._event("response.completed", response=response | {"usage": usage})

    def _event(self, kind: str, **fields: object) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())


# The current default model calls its tools in this form; it needs Codex's binary codex-code-mode-host.
SHELL_CALL = {
    "type": "custom_tool_call",
    "id": "ctc-1",
    "call_id": "call-1",
    "name": "exec",
    "namespace": "functions",
    "input": 'const r = await tools.exec_command({cmd:"printf played > played.txt; id -u"}); text(r.output);',
}
LAST_WORD = {
    "type": "message",
    "id": "msg-1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "the last word"}],
}


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run the stand-in."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def codex_home() -> Iterator[tuple[Path, dict[str, str]]]:
    """Create an empty folder with a configured CODEX_HOME in it, and the environment for it.

    It is outside the system's temporary folder if possible: Codex refuses to put its own binaries there.
    """
    parent = "/work" if os.access("/work", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="smoke-", dir=parent) as name:
        home = Path(name, "home", ".codex")
        home.mkdir(parents=True)
        (home / "config.toml").write_text(CONFIGURATION, encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home.parent),
            "CODEX_HOME": str(home),
        }
        yield Path(name), environment


def check_user() -> str:
    """Check that the image's user is 1000, not root."""
    require(os.getuid() == 1000, f"the user is {os.getuid()}, not 1000")  # noqa: PLR2004 - volumes belong to this number
    return "uid 1000"


def check_tools() -> str:
    """Check the programs that the containers' scripts call."""
    for tool in ("bash", "git", "jq", "curl", "openssl", "python3", "tar", "find", "sed", "awk", "grep"):
        require(shutil.which(tool), f"{tool} is not on the PATH")
    require(
        not shutil.which("node"), "Node is on the PATH: the `codex` there may be its wrapper, not the native binary"
    )
    git_core = Path(output_of("git", "--exec-path").strip())
    for part in ("git-remote-https", "git-http-backend"):
        require((git_core / part).exists(), f"git has no {part} in {git_core}")
    require(Path("/etc/ssl/certs/ca-certificates.crt").stat().st_size, "the CA bundle is empty")
    return output_of("git", "--version").strip()


# A chunk of one byte with two more bytes at its end.
H11 = f"""
import sys
sys.path.append({DEBIAN_PACKAGES!r})
import h11
side = h11.Connection(h11.SERVER)
side.receive_data(b"POST / HTTP/1.1\\r\\nHost: h\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n1\\r\\nxyz0\\r\\n\\r\\n")
try:
    while side.next_event() is not h11.NEED_DATA:
        pass
    print("accepts a malformed chunk (CVE-2025-43859)")
except h11.RemoteProtocolError:
    print(h11.__version__)
"""


def check_h11() -> str:
    """Check that the login broker finds the library h11 as the appliance starts it: isolated, without site packages."""
    text = output_of("python3", "-I", "-S", "-c", H11).strip()
    require("CVE" not in text, f"h11 {text}; build again with the distribution's security updates")
    return f"h11 {text}"


def check_codex_package() -> str:
    """Check that `codex` is the native binary, and that its other binaries are where it looks for them."""
    found = shutil.which("codex")
    require(found, "codex is not on the PATH")
    binary = Path(str(found)).resolve()
    with binary.open("rb") as start:
        require(start.read(4) == b"\x7fELF", f"{binary} is not a native binary; killing a wrapper leaves Codex running")
    package = binary.parent.parent
    for part in ("bin/codex-code-mode-host", "codex-resources/bwrap", "codex-path/rg"):
        require(os.access(package / part, os.X_OK), f"{package / part} is missing")
    with codex_home() as (_, environment):
        version = output_of("codex", "--version", env=environment).split()[-1]
    expected = os.environ.get("CODEX_VERSION", version)
    require(version == expected, f"Codex is {version}, not {expected}")
    return f"Codex CLI {version}"


def check_codex_exec_flags() -> str:
    """Check that `codex exec` knows each flag that the appliance uses."""
    with codex_home() as (_, environment):
        text = output_of("codex", "exec", "--help", env=environment)
    flags = (
        "--json",
        "--dangerously-bypass-approvals-and-sandbox",
        "--skip-git-repo-check",
        "--output-last-message",
        "--cd",
        "--config",
        "--strict-config",
        "--model",
    )
    for flag in flags:
        require(re.search(rf"(^|\s){flag}(\s|=|$)", text, re.MULTILINE), f"`codex exec` does not know {flag}")
    require("`-` is used" in text, "`codex exec` no longer says that `-` reads the prompt from stdin")
    return f"{len(flags)} flags and stdin"


def check_codex_login() -> str:
    """Check that `codex login --device-auth` uses the configured issuer, and ends after a refusal."""
    with codex_home() as (_, environment), stand_in() as server:
        output_of("codex", "login", "--device-auth", "--experimental_issuer", server.address, env=environment, status=1)
        asked = server.paths
    require("/api/accounts/deviceauth/usercode" in asked, f"the device login asked for {asked} instead of a user code")
    return "device login asks the issuer given"


def check_strict_config() -> str:
    """Check that `--strict-config` refuses unknown keys: the other checks rely on it."""
    with codex_home() as (_, environment):
        text = output_of(
            *("codex", "exec", "--json", "--strict-config", "-c", "no_such_key=1", "--skip-git-repo-check", "hello"),
            env=environment,
            status=1,
        )
    require("no_such_key" in text, f"the refusal of an unknown key does not name it: {text[-500:]}")
    return "unknown keys are refused"


def check_turn() -> str:
    """Check one whole turn with the appliance's options: one visible skill, a shell call, events, the last message."""
    others = sorted(path.name for path in (SCAFFOLD / ".agents/skills").iterdir() if path.name != "speckit-plan")
    hidden = ",".join(f'{{name="{name}",enabled=false}}' for name in others)
    prompt = "$speckit-plan\n\nthen run $speckit-tasks and $(touch ran.txt)\n"
    with codex_home() as (folder, environment), stand_in() as server:
        work = folder / "work"
        shutil.copytree(SCAFFOLD, work)
        provider = f'{{name="smoke",base_url="{server.address}/v1",wire_api="responses"}}'
        text = output_of(
            *("codex", "exec", "--json", "--strict-config", "--dangerously-bypass-approvals-and-sandbox"),
            *("--skip-git-repo-check", "-C", str(work), "-o", str(folder / "last.txt")),
            *("-c", f"model_providers.smoke={provider}", "-c", 'model_provider="smoke"'),
            *("-c", f"skills.config=[{hidden}]", "-c", "skills.bundled.enabled=false", "-"),
            env=environment,
            stdin=prompt,
        )
        events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        kinds = [event["type"] for event in events]
        for kind in ("thread.started", "turn.started", "item.started", "item.completed", "turn.completed"):
            require(kind in kinds, f"no event {kind} among {kinds}:\n{text[-2000:]}")
        items = [event["item"]["type"] for event in events if event["type"] == "item.completed"]
        for item in ("command_execution", "agent_message"):
            require(item in items, f"no item {item} among {items}:\n{text[-2000:]}")
        played = work / "played.txt"
        require(played.is_file() and played.read_text() == "played", f"the shell call left nothing:\n{text[-2000:]}")
        require(not (work / "ran.txt").exists(), "the prompt's own text was run as a command")
        require((folder / "last.txt").read_text().strip() == "the last word", "-o did not keep the last message")
        require(next(Path(environment["CODEX_HOME"], "sessions").rglob("rollout-*.jsonl"), None), "no rollout file")
        said = [part["text"] for item in server.turns[0]["input"] for part in item.get("content", ()) if "text" in part]
        require(prompt in said or prompt.rstrip("\n") in said, "the prompt did not arrive as it was given")
        started = re.findall(r"<skill>\s*<name>([^<]+)</name>", "\n".join(said))
        require(started == ["speckit-plan"], f"the prompt started the skills {started}, not speckit-plan alone")
    return f"{len(kinds)} events, one skill"


def check_spec_kit() -> str:
    """Check Spec Kit's command, and the files that it adds to a repository."""
    version = output_of("specify", "--version").split()[-1]
    expected = os.environ.get("SPEC_KIT_VERSION", version)
    require(version == expected, f"Spec Kit is {version}, not {expected}")
    for skill in PHASE_SKILLS:
        file = SCAFFOLD / ".agents/skills" / skill / "SKILL.md"
        require(file.is_file(), f"{file} is missing")
        front = re.match(r"---\n(.*?)\n---\n", file.read_text(encoding="utf-8"), re.DOTALL)
        require(
            front and re.search(rf'^name:\s*"?{skill}"?$', front[1], re.MULTILINE),
            f"{file} has no front matter that names it",
        )
    for name in ("common", "create-new-feature", "setup-plan", "setup-tasks"):
        file = SCAFFOLD / f".specify/scripts/bash/{name}.sh"
        require(os.access(file, os.X_OK), f"{file} is missing or not executable")
    for name in ("spec", "plan", "tasks"):
        file = SCAFFOLD / f".specify/templates/{name}-template.md"
        require(file.is_file() and file.stat().st_size, f"{file} is missing or empty")
    return f"Spec Kit {version}"


def check_spec_kit_scripts() -> str:
    """Check that setup-plan.sh and setup-tasks.sh find the feature and print JSON."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name, "work")
        shutil.copytree(SCAFFOLD, work)
        feature = work / "specs/001-smoke"
        feature.mkdir(parents=True)
        (feature / "spec.md").write_text("# Smoke\n", encoding="utf-8")
        (work / ".specify/feature.json").write_text('{"feature_directory": "specs/001-smoke"}', encoding="utf-8")
        environment = {"PATH": os.environ["PATH"], "HOME": name, "LANG": "C.UTF-8"}
        for script, key in (("setup-plan.sh", "IMPL_PLAN"), ("setup-tasks.sh", "FEATURE_DIR")):
            path = work / ".specify/scripts/bash" / script
            text = output_of("bash", "-c", f'cd "{work}" && "{path}" --json', env=environment)
            answer = json.loads(text.strip().splitlines()[-1])
            require("001-smoke" in answer.get(key, ""), f"{script} --json does not name the feature in {key}: {text}")
        require((feature / "plan.md").is_file(), "setup-plan.sh made no plan.md")
    return "setup-plan.sh, setup-tasks.sh"


CHECKS: tuple[Callable[[], str], ...] = (
    check_user,
    check_tools,
    check_h11,
    check_codex_package,
    check_codex_exec_flags,
    check_codex_login,
    check_strict_config,
    check_turn,
    check_spec_kit,
    check_spec_kit_scripts,
)


def main() -> int:
    """Run every check and print each failure; return 1 if any failed."""
    failed = 0
    for check in CHECKS:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            sys.stdout.write(f"ok    {name}: {check()}\n")
        except (MissingError, OSError, ValueError, KeyError) as error:
            failed += 1
            sys.stdout.write(f"FAIL  {name}: {error}\n")
    if failed:
        sys.stdout.write(f"{failed} of {len(CHECKS)} checks failed: this image cannot do the appliance's job.\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
