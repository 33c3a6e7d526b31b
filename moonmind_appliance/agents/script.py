"""The text of a program that is sent into a container, made of this package's own modules."""

import re
from importlib import resources

_GUARD = re.compile(r'\n\nif __name__ == "__main__":\n(?:    .*\n)+')
_OWN_IMPORT = re.compile(r"^from moonmind_appliance\.agents\.\w+ import (?:\([^)]*\)|.*)\n", re.MULTILINE)


def script_of(*modules: str) -> str:
    """The modules as one program that runs the last one's `main`.

    Each is standard library only; what a later one imports from an earlier one is there already. None of them uses a
    future import.
    """
    *earlier, last = [_OWN_IMPORT.sub("", _source(module)) for module in modules]
    return "\n".join([*(_GUARD.sub("\n", source) for source in earlier), last])


def _source(module: str) -> str:
    return resources.files(__package__).joinpath(f"{module}.py").read_text(encoding="utf-8")
