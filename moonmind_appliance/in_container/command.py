"""Builds the source text of a program that runs in a container from modules of this package."""

import re
from importlib import resources

_GUARD = re.compile(r'\n\nif __name__ == "__main__":\n(?:    .*\n)+')
_OWN_IMPORT = re.compile(r"^from moonmind_appliance\.in_container\.\w+ import (?:\([^)]*\)|.*)\n", re.MULTILINE)


def script_of(*modules: str) -> str:
    """Join the modules into one program that runs `main` of the last one.

    Each module uses only the standard library and names of the modules before it. None uses a future import.
    """
    *earlier, last = [_OWN_IMPORT.sub("", _source(module)) for module in modules]
    return "\n".join([*(_GUARD.sub("\n", source) for source in earlier), last])


def _source(module: str) -> str:
    return resources.files(__package__).joinpath(f"{module}.py").read_text(encoding="utf-8")
