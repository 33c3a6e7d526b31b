"""One attempt to deliver a message, against a real receiver: signature, time limit, TLS, and what failed."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from moonmind_appliance.errors import SettingsError
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from moonmind_appliance.settings import Secret, WebhookUrl, load
from moonmind_appliance.webhook import Answer, WebhookClient
from tests.webhook_receiver import SECRET, Behaviour, Receiver, answer, drip, hang, pour, receiving, reset

BODY = json.dumps({"type": "run.succeeded", "data": {"text": "ü \u2028"}}, ensure_ascii=False)


def send(url: str, *, ca_file: Path | None = None, time_limit: float = 0.5, secret: str = SECRET) -> Answer:
    client = WebhookClient(WebhookUrl(url), Secret(secret), ca_file=ca_file, time_limit=time_limit)
    try:
        return client.send("msg_1", BODY)
    finally:
        client.close()


def test_the_message_is_verified_by_the_library() -> None:
    """Id, time and signature are in the headers of the specification; the body is sent as it was signed."""
    with receiving() as receiver:
        found = send(receiver.url)
    (message,) = receiver.messages
    assert (found.status, found.problem, found.arrived) == (204, "", True)
    assert (message.id, message.body) == ("msg_1", json.loads(BODY))
    assert abs(message.timestamp - time.time()) < 60
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-signature"].startswith("v1,")
    assert SECRET.removeprefix("whsec_") not in str(message.headers)


@pytest.mark.parametrize(
    ("status", "arrived"), [(200, True), (299, True), (302, False), (404, False), (410, False), (500, False)]
)
def test_only_2xx_is_success_and_redirects_are_not_followed(status: int, *, arrived: bool) -> None:
    """A redirect may lead anywhere."""
    with receiving() as other, receiving(answer(status, Location=other.url)) as receiver:
        found = send(receiver.url)
    assert (found.status, found.arrived, found.problem) == (status, arrived, "")
    assert other.messages == []


@pytest.mark.parametrize(
    ("behave", "status", "problem"),
    [
        (hang, None, "no response within 0.5 s"),
        (drip, None, "no response within 0.5 s"),
        (reset, None, "Connection reset by peer"),
        (pour, 200, ""),
    ],
)
def test_a_bad_receiver_ends_the_attempt(behave: Behaviour, status: int | None, problem: str) -> None:
    """It may hang, answer byte by byte, reset, or send an endless body: the attempt ends within its time limit."""
    with receiving(behave) as receiver:
        found = send(receiver.url)
    assert (found.status, found.seconds < 20) == (status, True)
    assert problem in found.problem


def test_an_attempt_can_be_aborted() -> None:
    """At a shutdown nothing waits for the receiver."""
    made: list[WebhookClient] = []

    def abort(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
        made[0].abort()
        hang(handler, closing)

    with receiving(abort) as receiver:
        made.append(WebhookClient(WebhookUrl(receiver.url), Secret(SECRET), time_limit=60))
        found = made[0].send("msg_1", BODY)
        made[0].close()
    assert found.status is None
    assert found.seconds < 30


def test_no_receiver() -> None:
    """A refused connection is a problem, not an exception."""
    found = send("http://127.0.0.1:9/x")
    assert (found.status, found.arrived) == (None, False)
    assert "refused" in found.problem


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    """The authority's file and the server's."""
    made = make_certificates(["localhost"])
    (tmp_path / "ca.pem").write_bytes(made.ca)
    (tmp_path / "server.pem").write_bytes(made.server + made.server_key)
    return tmp_path / "ca.pem", tmp_path / "server.pem"


def test_the_certificate_is_verified(tls: tuple[Path, Path]) -> None:
    """With the authorities of EXTRA_CA_CERTS; an unknown one is refused before anything is sent."""
    authority, server = tls
    with receiving(certificate=server) as receiver:
        refused = send(receiver.url)
        assert (refused.status, receiver.messages) == (None, [])
        assert "certificate verify failed" in refused.problem
        assert send(receiver.url, ca_file=authority).arrived
        wrong_name = send(receiver.url.replace("localhost", "127.0.0.1"), ca_file=authority)
    assert "certificate" in wrong_name.problem


def test_a_tls_receiver_that_hangs(tls: tuple[Path, Path]) -> None:
    """The time limit ends the connection below TLS, too."""
    authority, server = tls
    with receiving(drip, certificate=server) as receiver:
        found = send(receiver.url, ca_file=authority)
    assert (found.status, found.problem) == (None, "no response within 0.5 s")


def retry_after(receiver: Receiver, value: str) -> datetime | None:
    receiver.behaviours.append(answer(503, Retry_After=value))
    return send(receiver.url).retry_after


def test_retry_after_is_seconds_or_a_date() -> None:
    """Anything else is ignored."""
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    with receiving() as receiver:
        seconds = retry_after(receiver, "120")
        assert seconds is not None
        assert timedelta(seconds=100) < seconds - datetime.now(UTC) <= timedelta(seconds=120)
        assert retry_after(receiver, format_datetime(later, usegmt=True)) == later
        assert [retry_after(receiver, value) for value in ("soon", "-1", "1e9", "9" * 30)] == [None] * 4


def test_the_settings_decide_whether_there_is_a_receiver(tmp_path: Path) -> None:
    """Without WEBHOOK_URL there is none; a CA file without a certificate is a settings error."""
    assert WebhookClient.of(load({"WEBHOOK_SECRET": SECRET}).settings) is None
    given = {"WEBHOOK_URL": "https://hooks.example.org/x?key=1", "WEBHOOK_SECRET": SECRET}
    client = WebhookClient.of(load(given).settings)
    assert client is not None
    assert client.origin == "https://hooks.example.org"
    client.close()
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingsError, match="EXTRA_CA_CERTS"):
        WebhookClient.of(load(given | {"EXTRA_CA_CERTS": str(tmp_path / "ca.pem")}).settings)
