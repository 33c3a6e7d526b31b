"""`python -m moonmind_appliance.cli`: the command where nothing was installed."""

from moonmind_appliance.cli.program import main

main()
