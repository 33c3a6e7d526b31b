"""The adapter to the webhook's receiver: signs one message, posts it, and returns the receiver's response.

The format is that of the Standard Webhooks specification 1.0.0, signed by its own library
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import math
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from standardwebhooks import Webhook

from moonmind_appliance.retry_after import retry_time
from moonmind_appliance.settings import Secret, Settings, WebhookUrl
from moonmind_appliance.trust import trust_context
from moonmind_appliance.version import appliance_version

TIME_LIMIT = 15.0
_LONGEST_PROBLEM = 300


class Answer(NamedTuple):
    """How a receiver answered one attempt.

    `status` is None if there was no complete HTTP response; `problem` then says why. `retry_after` is the time that
    the response asks to wait for (UTC). `seconds` is how long the attempt took.
    """

    status: int | None
    problem: str
    retry_after: datetime | None
    seconds: float

    @property
    def arrived(self) -> bool:
        """Whether the receiver accepted the message: any 2xx status."""
        return self.status is not None and httpx.codes.is_success(self.status)


class WebhookClient:
    """Posts messages to one receiver. `send` is for one thread at a time; `abort` may be called from any thread.

    It follows no redirect and reads no response body. An attempt ends after `time_limit` seconds, however the receiver
    behaves; only the resolution of its host name may take longer. The process's own HTTPS_PROXY and NO_PROXY apply,
    except to this machine's loopback interface.

    Raises:
        SettingsError: `ca_file` contains no usable certificate.
    """

    def __init__(
        self, url: WebhookUrl, secret: Secret, *, ca_file: Path | None = None, time_limit: float = TIME_LIMIT
    ) -> None:
        self._url = url
        self._signer = Webhook(secret.reveal())
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._aborted = False
        self._client = httpx.Client(
            headers={"Content-Type": "application/json", "User-Agent": f"moonmind-appliance/{appliance_version()}"},
            timeout=time_limit,
            verify=trust_context(ca_file),
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=not url.on_this_machine,
        )

    @classmethod
    def of(cls, settings: Settings) -> "WebhookClient | None":
        """The client of these settings; None without WEBHOOK_URL.

        Raises:
            SettingsError: EXTRA_CA_CERTS contains no usable certificate.
        """
        if settings.webhook_url is None or settings.webhook_secret is None:
            return None
        return cls(settings.webhook_url, settings.webhook_secret, ca_file=settings.extra_ca_certs)

    @property
    def origin(self) -> str:
        """The receiver's scheme, host and port, for people."""
        return self._url.origin

    def send(self, message_id: str, body: str) -> Answer:
        """Sign the message with the current time, and post it. Raises nothing for what the receiver does.

        Args:
            message_id: the same for each attempt, so that the receiver recognizes a repetition; without full stops.
            body: JSON.
        """
        began, now = time.monotonic(), datetime.now(UTC)
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(math.floor(now.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now, body),
        }
        with self._lock:
            self._aborted = False
        timer = threading.Timer(self._time_limit, self.abort)
        timer.daemon = True
        timer.start()
        status, problem, retry_after = None, "", None
        try:
            with self._client.stream(
                "POST",
                self._url.reveal(),
                content=body.encode(),
                headers=headers,
                extensions={"trace": self._on_step},
            ) as response:
                status, retry_after = response.status_code, retry_time(response.headers.get("retry-after"), now)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # After the head of the response only the end of the connection can fail, which does not matter.
            problem = self._why(error) if status is None else ""
        finally:
            timer.cancel()
            self._drop()
        return Answer(status, problem, retry_after, time.monotonic() - began)

    def abort(self) -> None:
        """End the running attempt. Idempotent; it does not prevent a later one."""
        with self._lock:
            self._aborted = True
            if self._connection is not None:
                _shut_down(self._connection)

    def close(self) -> None:
        """Close the client. Idempotent."""
        self._client.close()

    def _on_step(self, name: str, info: dict[str, Any]) -> None:
        """Get the connection when it is made, so that `abort` can end it (httpcore's extension `trace`)."""
        if name != "connection.connect_tcp.complete":
            return
        made = info["return_value"].get_extra_info("socket")
        with self._lock:
            # A duplicate: TLS takes the original away.
            self._connection = made.dup()
            if self._aborted:
                _shut_down(self._connection)

    def _drop(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _why(self, error: Exception) -> str:
        with self._lock:
            late = self._aborted or isinstance(error, httpx.TimeoutException)
        if late:
            return f"no response within {self._time_limit:g} s"
        text = str(error) or type(error).__name__
        return text if len(text) <= _LONGEST_PROBLEM else f"{text[:_LONGEST_PROBLEM]}…"


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
