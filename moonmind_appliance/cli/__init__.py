"""The command line: `moonmind-appliance …`. People read tables and colour, programs read `--json` and exit codes."""

from moonmind_appliance.cli.program import main

__all__ = ["main"]
