"""The thread `webhook`: turns events into messages and delivers them, independently of the runs."""

import logging
import random
import threading
from datetime import timedelta

from moonmind_appliance.api_address import BASE_PATH, public_url
from moonmind_appliance.errors import StoreError
from moonmind_appliance.execution.webhook_messages import KINDS, head_of, message_id, message_of
from moonmind_appliance.models import Event
from moonmind_appliance.resources import Resources
from moonmind_appliance.store.webhooks import Delivery, NewDelivery
from moonmind_appliance.webhook import Answer, WebhookClient

# The pauses after each failed attempt, from the specification's example schedule, about 28 hours in all. If the
# attempt after the last pause fails, the message is given up.
PAUSES = tuple(
    timedelta(**span)
    for span in (
        {"seconds": 5},
        {"minutes": 5},
        {"minutes": 30},
        {"hours": 2},
        {"hours": 5},
        {"hours": 10},
        {"hours": 10},
    )
)
# Longest pause that a receiver may ask for.
_LONGEST_PAUSE = timedelta(hours=24)
_MOST_PENDING = 1000
_MOST_AT_ONCE = 100
# Store the position this often while no event is reported, so that a restart reads few events again.
_STORE_POSITION_EVERY = 1000
_POLL_EVERY = 1.0
_PAUSE_AFTER_ERROR = 5.0
_WAIT_FOR_THREAD = 5.0
_GONE = 410

_log = logging.getLogger(__name__)


class WebhookSender:
    """Delivers each message at least once, in the order of the events as far as attempts succeed.

    Messages are stored until they are delivered or given up, and each attempt writes an event. Without a receiver,
    stored messages and the position in the events are removed, so that a later receiver gets later events only.

    Order of calls: `begin`, `start`, `stop`. `step` is what the thread repeats; tests call it without the thread.

    Args:
        resources: the verbs' dependencies.
        client: the receiver's; None: there is no receiver.
        most_pending: with this many messages stored, later events wait in the events table.
    """

    def __init__(
        self, resources: Resources, client: WebhookClient | None, *, most_pending: int = _MOST_PENDING
    ) -> None:
        self._resources = resources
        self._client = client
        self._most_pending = most_pending
        self._store = resources.store.webhooks
        self._api_url = public_url(resources.settings) + BASE_PATH
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._position = self._stored_position = 0
        self.disabled = False

    def begin(self) -> None:
        """Report events from now on, or from where the last process stopped. Idempotent.

        Call it before anything else happens.
        """
        if self._client is None:
            if dropped := self._store.forget():
                _log.warning("WEBHOOK_URL is not set: %d undelivered webhook message(s) removed.", dropped)
            return
        self._position = self._stored_position = self._store.begin()

    def start(self) -> None:
        """Start the thread if there is a receiver."""
        if self._client is not None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread and its running attempt, which is repeated after the next start. Idempotent."""
        self._stopping.set()
        if self._client is None:
            return
        self._client.abort()
        if self._thread.ident is not None:
            self._thread.join(_WAIT_FOR_THREAD)
        self._client.close()

    def step(self) -> bool:
        """Store the messages of new events, and try to deliver one that is due; returns whether it was delivered."""
        self._collect()
        delivery = self._store.due(self._resources.clock())
        return delivery is not None and self._deliver(delivery)

    def _run(self) -> None:
        failing = False
        while not (self._stopping.is_set() or self.disabled):
            pause = 0.0
            try:
                # After a failed attempt the next one waits, too: the receiver may be overloaded.
                pause = 0.0 if self.step() else _POLL_EVERY
                failing = False
            except Exception as error:  # noqa: BLE001 - the thread must continue; the cause may resolve by itself
                if not failing and not self._stopping.is_set():
                    _log.log(
                        logging.WARNING if isinstance(error, StoreError) else logging.ERROR,
                        "Webhook messages cannot be processed now, and are tried again: %s",
                        error,
                        exc_info=None if isinstance(error, StoreError) else error,
                    )
                failing, pause = True, _PAUSE_AFTER_ERROR
            self._stopping.wait(pause)

    def _collect(self) -> None:
        """Store the messages of the next events with the new position, in one transaction."""
        room = self._most_pending - self._store.pending()
        if room <= 0:
            return
        events, position = self._store.events(KINDS, after=self._position, limit=min(room, _MOST_AT_ONCE))
        found = [new for event in events if (new := self._message(event)) is not None]
        if found or position - self._stored_position >= _STORE_POSITION_EVERY:
            self._store.add(found, position=position, now=self._resources.clock())
            self._stored_position = position
        self._position = position

    def _message(self, event: Event) -> NewDelivery | None:
        run = None if event.run_id is None else self._store.run_facts(event.run_id)
        before = None if event.run_id is None else self._store.status_before(event)
        try:
            body = message_of(event, run, before, self._api_url)
        except (KeyError, ValueError) as error:
            _log.warning("Event %d (%s) is not reported to the webhook: %s", event.event_id, event.kind, error)
            return None
        if body is None:
            return None
        return NewDelivery(message_id(self._resources.appliance_id, event), event.event_id, body)

    def _deliver(self, delivery: Delivery) -> bool:
        if self._client is None:
            return False
        answer = self._client.send(delivery.message_id, delivery.body)
        if self._stopping.is_set() and not answer.arrived:
            # Interrupted: repeat it after the next start, without counting it.
            return False
        known = {**head_of(delivery.body)._asdict(), "message_id": delivery.message_id, "http_status": answer.status}
        about: dict[str, object] = {name: value for name, value in known.items() if value is not None}
        about |= {"attempt": delivery.attempts + 1, "seconds": round(answer.seconds, 3)}
        if answer.arrived:
            self._store.delivered(delivery, data=about)
            return True
        about["problem"] = problem = answer.problem or f"status {answer.status}"
        if answer.status == _GONE:
            self.disabled = True
            self._store.disabled(data=about)
        elif delivery.attempts >= len(PAUSES):
            self._store.given_up(delivery, data=about)
        else:
            self._store.failed(
                delivery, problem, due_at=self._resources.clock() + self._pause(delivery, answer), data=about
            )
        return False

    def _pause(self, delivery: Delivery, answer: Answer) -> timedelta:
        """The pause after a failed attempt: with jitter, and at least what the receiver asks for."""
        pause = PAUSES[delivery.attempts] * random.uniform(0.9, 1.1)  # noqa: S311 - not used for a secret
        if answer.retry_after is None:
            return pause
        return max(pause, min(answer.retry_after - self._resources.clock(), _LONGEST_PAUSE))
