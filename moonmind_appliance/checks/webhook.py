"""Check of the webhook: how its messages are sent, and whether they arrive."""

from collections.abc import Iterator

from moonmind_appliance.checks.finding import Finding, note, ok
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings

_CHECK = "webhook"
_TEST = "moonmind-appliance webhook test"


def webhook(settings: Settings, resources: Resources | None) -> Iterator[Finding]:
    """A finding if WEBHOOK_URL is set. It never prevents runs. Sends nothing: `webhook test` does."""
    url = settings.webhook_url
    if url is None:
        return
    pending = 0 if resources is None else resources.store.webhooks.pending()
    problem = "" if resources is None else resources.store.webhooks.last_problem()
    observed = f"Messages go to {url.origin}; {pending} not delivered yet."
    if problem:
        yield note(_CHECK, f"{observed} The last attempt failed: {problem}.", f"Check the receiver: {_TEST}")
    elif url.sent_in_clear:
        yield note(_CHECK, f"{observed} They are signed, but sent unencrypted.", "Use an https:// address.")
    else:
        yield ok(_CHECK, observed)
