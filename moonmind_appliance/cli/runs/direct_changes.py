"""The verbs of the access on the data folder that change something: they need more than the database."""

from collections.abc import Callable
from contextlib import ExitStack

from moonmind_appliance.attach import attach
from moonmind_appliance.checks import serve_state
from moonmind_appliance.models import Actor
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.drain import drain, resume
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.runs.submit import SubmitRequest, submit_run
from moonmind_appliance.settings import Settings
from moonmind_appliance.views.run_summary import RunAccepted, run_accepted


class Changes:
    """The verbs, on resources of their own. `on_message` receives messages for the user.

    Raises:
        StoreError: the data folder or its database cannot be used.
        SettingsError: a setting cannot be used, such as a token that cannot be sent.
    """

    def __init__(self, settings: Settings, actor: Actor, *, on_message: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._settings, self._actor = settings, actor
        self._opened = ExitStack()
        self._resources = self._opened.enter_context(attach(settings))

    def submit(self, request: SubmitRequest, idempotency_key: str | None) -> RunAccepted:
        """Save a run, and wake a shard."""
        run = submit_run(self._resources, self._actor, request, idempotency_key=idempotency_key)
        self._warn_if_not_serving()
        return run_accepted(run)

    def cancel(self, run_id: str) -> RunAccepted:
        """Cancel a run."""
        return run_accepted(cancel_run(self._resources, self._actor, run_id))

    def retry(self, run_id: str) -> RunAccepted:
        """Queue the run again, and wake a shard."""
        run = retry_run(self._resources, self._actor, run_id)
        self._warn_if_not_serving()
        return run_accepted(run)

    def drain(self) -> None:
        """Start no more runs."""
        drain(self._resources)

    def resume(self) -> None:
        """Start runs again."""
        resume(self._resources)

    def close(self) -> None:
        """Close the files and the clients. Idempotent."""
        self._opened.close()

    def _warn_if_not_serving(self) -> None:
        """Warn if `serve` is not running: then a queued run does not start."""
        if not serve_state(self._settings).answers:
            self._on_message("`serve` is not running on this machine: the run is queued and starts when `serve` does.")
