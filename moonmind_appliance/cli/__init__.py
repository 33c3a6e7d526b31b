"""The command line: `moonmind-appliance …`. People read tables and colour, programs read `--json` and exit codes."""

import sys

try:
    from moonmind_appliance.cli.program import main
except KeyboardInterrupt:
    # Ctrl-C before the program can handle it; both ways to start it import this package first.
    sys.stderr.write("\nerror: stopped\n")
    sys.exit(130)

__all__ = ["main"]
