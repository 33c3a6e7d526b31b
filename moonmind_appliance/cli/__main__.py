"""`python -m moonmind_appliance.cli`: the command where the package is not installed."""

from moonmind_appliance.cli.program import main

main()
