"""Reads settings from the environment and the env file, whose values are never put into the environment."""

import difflib
import io
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.settings import DEFAULT_ENV_FILE, ENV_FILE, Loaded, Settings, load, options
from moonmind_appliance.settings.values import proxy_url, secret_value

ENV_FILE_VARIABLE = "MOONMIND_ENV_FILE"

_LIKE_ENOUGH = 0.85


class Configuration(NamedTuple):
    """The settings, the source of each, the env file that was read, and warnings about it."""

    loaded: Loaded
    env_file: Path | None
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings themselves."""
        return self.loaded.settings


def configure(environment: Mapping[str, str], env_file: Path | None, *, demanded: bool = True) -> Configuration:
    """Read the env file and all settings.

    The file is, first match first: `env_file`, MOONMIND_ENV_FILE, /etc/moonmind-appliance/appliance.env. Only the last
    one may be missing. Without `demanded` this user may also lack permission to read it: callers need nothing of it.

    Raises:
        SettingsError: with every problem found.
    """
    named = env_file or (Path(environment[ENV_FILE_VARIABLE]) if environment.get(ENV_FILE_VARIABLE) else None)
    path = named or DEFAULT_ENV_FILE
    warnings: list[str] = []
    file = EnvFile({}, {}, [])
    read: Path | None = None
    try:
        file = read_env_file(path)
        read = path
    except FileNotFoundError:
        if named is not None:
            raise _unreadable(path, "does not exist", "Check the path, or omit the option.") from None
    except PermissionError:
        if named is not None or demanded:
            raise _unreadable(path, "is not readable by this user", "Run as root, or as its owner.") from None
        warnings.append(f"{path} is not readable by this user and was ignored.")
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror})", "Use a file with NAME=value lines.") from None
    warnings += [f"{path}: unknown setting {name}; did you mean {meant}?" for name, meant in misspelled(file.values)]
    try:
        loaded = load(environment, file.values)
    except SettingsError as error:
        raise SettingsError(_located(path, file, error.problems)) from None
    if file.problems:
        raise SettingsError(_located(path, file, []))
    return Configuration(loaded, read, tuple(warnings))


def raw_secrets(environment: Mapping[str, str], env_file: Path | None) -> list[tuple[str, str]]:
    """The secrets in the environment and the env file as they were written, with their variables; also invalid ones.

    For redaction where the settings cannot be used. A file that cannot be read is left out.
    """
    named = env_file or (Path(environment[ENV_FILE_VARIABLE]) if environment.get(ENV_FILE_VARIABLE) else None)
    layers: list[Mapping[str, str]] = [environment]
    with suppress(OSError):
        layers.append(read_env_file(named or DEFAULT_ENV_FILE).values)
    found = []
    for name, option in options().items():
        for alias in (name, *option.older_names, *option.general_names):
            for layer in layers:
                values = [layer.get(alias, "").strip()]
                with suppress(OSError, ValueError):
                    values.append(Path(layer.get(f"{alias}_FILE", "")).read_text(encoding="utf-8").strip())
                if option.parse is proxy_url:
                    # Only the password, and not the proxy's host.
                    values = [re.sub(r"^(?:\w+://)?[^:@]*:|@[^@]*$", "", value) for value in values if "@" in value]
                if option.parse in {secret_value, proxy_url}:
                    found += [(alias, value) for value in values if value]
    return found


class EnvFile(NamedTuple):
    """An env file's values and the line of each by name, and its invalid lines: number, what is wrong, what to do."""

    values: dict[str, str]
    lines: dict[str, int]
    problems: list[tuple[int, str, str]]


def read_env_file(path: Path) -> EnvFile:
    """The NAME=value lines, without quotes; `$` has no meaning. Lines that begin with `#` are comments.

    Raises:
        OSError: the file cannot be read.
    """
    found = EnvFile({}, {}, [])
    texts = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            # Editors may put a byte order mark at the beginning.
            texts.append(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            texts.append("")
            found.problems.append((number, "is not valid UTF-8.", "Save the file as UTF-8."))
    for binding in parse_stream(io.StringIO("\n".join(texts))):
        # The parser counts the blank lines before it as part of the line.
        text = binding.original.string
        number = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            # The line itself is not shown: it may contain part of a secret.
            found.problems.append((number, "is not a NAME=value line.", "Correct it, or comment it out with #."))
        elif binding.key is not None and binding.value is not None:
            found.values[binding.key] = binding.value
            found.lines[binding.key] = number
    return found


def _located(path: Path, file: EnvFile, problems: Iterable[SettingProblem]) -> list[SettingProblem]:
    """The invalid lines, and these problems, with the file's lines in their order."""
    numbered = [(number, SettingProblem(f"{path}, line {number}", *what)) for number, *what in file.problems]
    others = []
    for problem in problems:
        number = file.lines.get(problem.name) or file.lines.get(f"{problem.name}_FILE", 0)
        if problem.where == ENV_FILE and number:
            numbered.append((number, problem._replace(where=f"{path}, line {number}")))
        else:
            others.append(problem)
    return [problem for _, problem in sorted(numbered, key=lambda each: each[0])] + others


def misspelled(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that are similar to a setting's name, each with that setting's name."""
    known = [alias for name, option in options().items() for alias in (name, *option.older_names)]
    known += [f"{name}_FILE" for name in known]
    return [
        (name, close[0])
        for name in names
        if name not in known and (close := difflib.get_close_matches(name.upper(), known, 1, _LIKE_ENOUGH))
    ]


def owns_data(data_dir: Path) -> bool:
    """Whether this user can use the data folder: write its database, or create one if there is none."""
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return False
    database = data_dir / "appliance.db"
    return not database.exists() or os.access(database, os.R_OK | os.W_OK)


def _unreadable(path: Path, what: str, hint: str) -> SettingsError:
    return SettingsError([SettingProblem(f"env file {path}", f"{what}.", hint)])
