"""`webhook test`: sends a signed test message to the webhook's receiver."""

import uuid
from datetime import UTC, datetime

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, Lazy, LazyGroup
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.execution.webhook_messages import sender_message
from moonmind_appliance.version import appliance_version
from moonmind_appliance.webhook import WebhookClient

_HERE = "moonmind_appliance.cli.webhook"

COMMANDS = {"test": Lazy(f"{_HERE}:send_test", "Send one signed test message, and show the answer.")}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    examples=[("After WEBHOOK_URL and WEBHOOK_SECRET are set", f"{PROGRAM} webhook test")],
)
def webhook() -> None:
    """Test the webhook.

    `serve` sends a message to WEBHOOK_URL when a run ends or needs a person, and when a login dies.
    """


@click.command(
    cls=Command,
    name="test",
    examples=[
        ("Send a message", f"{PROGRAM} webhook test"),
        ("With other settings", f"{PROGRAM} webhook test --env-file my.env"),
    ],
)
@click.pass_obj
def send_test(invocation: Invocation) -> None:
    """Send one signed test message, and show the answer.

    The message has the type `appliance.test`. It is sent once, also if `serve` is not running, and appears in no
    event. The exit code is 0 only if the receiver answers with a 2xx status, and 4 if it does not answer.
    """
    client = WebhookClient.of(invocation.settings())
    if client is None:
        raise CommandFailed(
            "WEBHOOK_URL is not set.", hint="Set WEBHOOK_URL and WEBHOOK_SECRET, then try again.", code=Exit.SETTINGS
        )
    message_id = f"msg_{uuid.uuid4().hex}"
    try:
        answer = client.send(message_id, sender_message(appliance_version(), datetime.now(UTC)))
    finally:
        client.close()
    result = {
        "message_id": message_id,
        "receiver": client.origin,
        "status": answer.status,
        "problem": answer.problem,
        "seconds": round(answer.seconds, 3),
    }
    if answer.status is None:
        invocation.print_result(result)
        raise CommandFailed(
            f"{client.origin} did not accept message {message_id}: {answer.problem.removesuffix('.')}.",
            hint="Check WEBHOOK_URL, the network, and EXTRA_CA_CERTS.",
            code=Exit.UNAVAILABLE,
        )
    if not answer.arrived:
        invocation.print_result(result)
        raise CommandFailed(
            f"{client.origin} answered message {message_id} with status {answer.status}.",
            hint="Only a 2xx status counts as delivered; redirects are not followed. See the receiver's log.",
        )
    shown = f"{client.origin} accepted message {message_id}: status {answer.status} after {answer.seconds:.2f} s."
    invocation.print_result(result, Text(clean(shown)))
