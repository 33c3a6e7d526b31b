"""The check of the webhook."""

from moonmind_appliance.checks.finding import Level
from moonmind_appliance.checks.webhook import webhook
from moonmind_appliance.settings import Secret, Settings, WebhookUrl
from moonmind_appliance.store.webhooks import NewDelivery
from tests.appliance_under_test import ApplianceUnderTest
from tests.webhook_receiver import SECRET


def with_url(url: str) -> Settings:
    return Settings(webhook_url=WebhookUrl(url), webhook_secret=Secret(SECRET))


def test_without_a_webhook_there_is_no_finding() -> None:
    """It is optional."""
    assert list(webhook(Settings(), None)) == []


def test_the_address_is_shown_without_path_and_query() -> None:
    """They may contain a key of the receiver."""
    (found,) = webhook(with_url("https://hooks.example.org/x?key=abc"), None)
    assert (found.level, found.observed) == (
        Level.OK,
        "Messages go to https://hooks.example.org; 0 not delivered yet.",
    )


def test_http_to_another_machine_is_noted() -> None:
    """The messages are signed, but not encrypted. To this machine itself it is fine."""
    (found,) = webhook(with_url("http://10.0.0.7/x"), None)
    assert (found.level, found.to_do) == (Level.NOTE, "Use an https:// address.")
    (found,) = webhook(with_url("http://127.0.0.1:8080/x"), None)
    assert found.level is Level.OK


def test_a_failed_delivery_is_noted_and_prevents_no_run(appliance: ApplianceUnderTest) -> None:
    """With the number of messages and the last problem."""
    store, now = appliance.store.webhooks, appliance.clock()
    store.add([NewDelivery("msg_1", 1, "{}"), NewDelivery("msg_2", 2, "{}")], position=2, now=now)
    delivery = store.due(now)
    assert delivery is not None
    store.failed(delivery, "status 500", due_at=now, data={})
    (found,) = webhook(with_url("https://hooks.example.org"), appliance.resources)
    assert (found.level, found.observed, found.to_do) == (
        Level.NOTE,
        "Messages go to https://hooks.example.org; 2 not delivered yet. The last attempt failed: status 500.",
        "Check the receiver: moonmind-appliance webhook test",
    )
