"""Builds the command that runs one of this package's programs in a container."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

_OWN_IMPORT = re.compile(rf"^from ({re.escape(__package__)}\.\w+) import ", re.MULTILINE)
_WAITS = "-"
CANNOT_BEGIN = 126
"""Exit code of a waiting program whose folder or files cannot be used; Docker's own for a folder that is absent."""

# The modules are sent as text: neither the container's image nor its volumes contain them.
_START = """import binascii, json, os, sys, types
for name, source in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
job = sys.argv[2]
if job == {waits!r}:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\\n"):
        sys.exit()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    job, environment, folder, files = json.loads(line)
    os.environ.update(environment)
    try:
        for path, text in files.items():
            new = path + "." + os.urandom(8).hex()
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(binascii.a2b_base64(text))
            # An earlier attempt's agent may have left anything there.
            if os.path.isdir(path) and not os.path.islink(path):
                os.rename(path, new + ".old")
            os.rename(new, path)
        os.chdir(folder or ".")
    except OSError as error:
        sys.stderr.write((error.filename or path) + ": " + error.strerror + "\\n")
        sys.exit({cannot_begin})
sys.exit(module.main(json.loads(job)))
"""


def command(program: str, job: Mapping[str, object], *, time_limit: float | None = None) -> list[str]:
    """The command that calls `main(job)` of a module of this package, with the container's own Python.

    Args:
        program: the module's name; it is also the command's last argument but one.
        job: what `main` takes, as JSON. Must contain no secret: the engine shows a command to all its clients.
        time_limit: seconds after which `timeout` ends the program; None: no limit.
    """
    python = ["python3", "-I", "-S", "-c", source_of(program), program, json.dumps(job)]
    return python if time_limit is None else limited(python, time_limit)


def waiting(argv: Sequence[str]) -> list[str]:
    """The same program as in a command of `command`, started before its job is known.

    It loads its modules, then reads the line of `line_for` from stdin. If stdin ends first, it ends with 0.
    """
    return [*argv[:-1], _WAITS]


def line_for(
    argv: Sequence[str], env: Mapping[str, str], folder: str | None, files: Mapping[str, bytes] | None = None
) -> bytes:
    """What a waiting program reads: the command's job, and what it does before.

    Args:
        argv: the command, from `command`.
        env: variables to add.
        folder: the folder to run in; None: stay.
        files: absolute path to content; the folders must exist. Whatever is at the path is replaced.
    """
    contents = {path: base64.b64encode(content).decode() for path, content in (files or {}).items()}
    return json.dumps([argv[-1], dict(env), folder, contents]).encode() + b"\n"


def limited(argv: Sequence[str], time_limit: float) -> list[str]:
    """A command that `timeout` ends after `time_limit` seconds: the end of an exec ends its container as well."""
    return ["timeout", "--kill-after=5", str(time_limit), *argv]


@cache
def source_of(program: str) -> str:
    """The program's text: its module and all that it imports of this package."""
    modules = list(_modules(f"{__package__}.{program}", set()))
    return _START.format(modules=modules, waits=_WAITS, cannot_begin=CANNOT_BEGIN)


def _modules(name: str, known: set[str]) -> Iterator[tuple[str, str]]:
    """The module's name and text, after those that it imports."""
    known.add(name)
    text = resources.files(__package__).joinpath(f"{name.rpartition('.')[2]}.py").read_text(encoding="utf-8")
    for imported in _OWN_IMPORT.findall(text):
        if imported not in known:
            yield from _modules(imported, known)
    yield name, text
