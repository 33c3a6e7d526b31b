"""`settings`: shows the settings that the appliance would use."""

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import clean, table


@click.command(
    cls=Command,
    examples=[
        ("Everything", f"{PROGRAM} settings"),
        ("With another env file", f"{PROGRAM} settings --env-file my.env"),
        (
            "One value, for a script",
            f"{PROGRAM} settings --json | jq -r '.[] | select(.name == \"MOONMIND_PORT\").value'",
        ),
    ],
)
@click.pass_obj
def settings(invocation: Invocation) -> None:
    """Show every setting with its value and source.

    Secrets are shown as ***. Each setting can also be given as NAME_FILE, the path of a file that contains the value.
    With -v each setting's description is shown, too.
    """
    configuration = invocation.configuration()
    rows = configuration.loaded.table()
    shown = table("SETTING", "VALUE", "FROM")
    for row in rows:
        is_default = row.source == "default"
        name = Text(row.name, "" if is_default else "bold")
        if invocation.verbose:
            name.append(f"\n{row.sentence}", "dim not bold")
        shown.add_row(name, Text(clean(row.shown), "dim" if is_default else ""), Text(row.source, "dim"))
    where = f"Env file: {configuration.env_file}" if configuration.env_file else "No env file was read."
    invocation.print_result(
        [{"name": row.name, "value": row.shown, "source": row.source, "sentence": row.sentence} for row in rows],
        Group(shown, Text(f"\n{where}", "dim")),
    )
