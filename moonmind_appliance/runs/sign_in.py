"""Sign a shard in or out, and start the runs that waited for it.

A sign-in takes minutes and needs a person. `SignIn` is therefore an iterator of steps: the command
line and the TUI show each step as it comes, and both can stop it.
"""

import threading
from collections.abc import Iterator
from contextvars import copy_context
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import Self

import msgspec

from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.containers.volume_lock import lock_holder
from moonmind_appliance.errors import ApplianceError, ImageNotFound, InterruptReason, NameTaken, StoreError
from moonmind_appliance.models import LABEL_RUN, Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.disk import data_disk, least_to_accept
from moonmind_appliance.scheduling.waiting import update_waiting
from moonmind_appliance.shards.login import LoginPrompt, login_from_file, login_shard
from moonmind_appliance.shards.logout import logout_shard
from moonmind_appliance.shards.read_login import record_login_file
from moonmind_appliance.units import size


class SignInPrompt(msgspec.Struct, frozen=True, tag=True):
    """The person must open `address` before `expires_at` (with time zone), and type `code` there ("": no code)."""

    address: str
    code: str
    expires_at: datetime


class SignInWaiting(msgspec.Struct, frozen=True, tag=True):
    """The new login is complete and is stored as soon as `holder` ends. `run_id` is set if the holder is a run."""

    holder: str
    run_id: str | None = None


class SignedIn(msgspec.Struct, frozen=True, tag=True):
    """Last step: the new login is stored, and the runs that waited for a login start."""

    shard: Shard


class SignInFailed(msgspec.Struct, frozen=True, tag=True):
    """Last step: the old login, if any, is unchanged. `cancelled`: because `SignIn.cancel` was called.

    If `error` is a `StoreError`, the new login is in its volume nevertheless, and the next check of the shard finds it.
    If its account is not the previous one, the check reports `account_changed`, and the shard must be signed in again.
    """

    error: ApplianceError
    cancelled: bool = False

    @property
    def message(self) -> str:
        """What went wrong; contains no secret."""
        return self.error.message

    @property
    def hint(self) -> str:
        """What to do; "" if there is nothing to advise."""
        return self.error.hint


SignInStep = SignInPrompt | SignInWaiting | SignedIn | SignInFailed


class SignIn:
    """One sign-in of one shard: an iterator of steps that blocks until the next step, and ends after the last one.

    The steps are at most one `SignInPrompt` (none for an API key or a file), at most one `SignInWaiting`, and always
    one `SignedIn` or `SignInFailed` at the end. When the last step arrives, no container of the sign-in is left.

    Iterate in one thread. `cancel` may be called from any thread, at any time, several times, and does not block: the
    last step follows within seconds, and it is `SignedIn` if the login was already being stored. `close`, or the end
    of a `with` block, cancels and waits until everything is undone. An abandoned iterator continues until the prompt
    expires, so use `with`:

        with SignIn(resources, 0) as steps:
            for step in steps:
                ...

    Nothing happens before the first `next`. An exception that is not an `ApplianceError` is a defect; `next` raises it.

    Args:
        resources: must stay open until the sign-in is over.
        shard: the number of one of `resources.shards`.
        method: by device code; by a browser on this machine, which calls back to port 1455 of the loopback
            interface; or with an API key.
        api_key: the key, for `LoginMethod.API_KEY` only.
        login_file: store this login instead, see `from_file`.
    """

    def __init__(
        self,
        resources: Resources,
        shard: int,
        *,
        method: LoginMethod = LoginMethod.DEVICE,
        api_key: str | None = None,
        login_file: bytes | None = None,
    ) -> None:
        self._resources = resources
        self._shard = shard
        self._method = method
        self._api_key = api_key
        self._login_file = login_file
        self._cancel = CancelToken()
        # The sign-in reports from inside a blocking call to the engine, so it runs in its own thread.
        self._steps: SimpleQueue[SignInStep | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Not `Thread.join`: after an interrupted one the thread counts as ended (seen on Python 3.11).
        self._ended = threading.Event()
        self._over = False

    @classmethod
    def from_file(cls, resources: Resources, shard: int, content: bytes) -> Self:
        """Store a login file that was made elsewhere.

        The other copy must not be used any more: the first of the two that is renewed invalidates the other.
        """
        return cls(resources, shard, login_file=content)

    def __iter__(self) -> Iterator[SignInStep]:
        return self

    def __next__(self) -> SignInStep:
        if self._over:
            raise StopIteration
        if self._thread is None:
            # With the author of the sign-in.
            self._thread = threading.Thread(
                target=copy_context().run, args=[self._work], name=f"sign-in-{self._shard}", daemon=True
            )
            self._thread.start()
        step = self._steps.get()
        if isinstance(step, BaseException):
            self._over = True
            raise step
        self._over = isinstance(step, SignedIn | SignInFailed)
        return step

    def cancel(self) -> None:
        """Stop the sign-in; returns at once. No effect after the last step."""
        self._cancel.cancel(InterruptReason.CANCELLED)

    def close(self) -> None:
        """Stop the sign-in and wait until it is undone, which takes seconds. No effect after the last step."""
        self.cancel()
        if self._thread is not None:
            self._ended.wait()
        self._over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _work(self) -> None:
        last: SignInStep | BaseException
        try:
            self._refuse_without_image()
            self._refuse_on_a_full_disk()
            last = SignedIn(self._sign_in())
        except ApplianceError as error:
            last = SignInFailed(error, cancelled=self._cancel.reason is not None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that iterates
            last = error
        self._steps.put(last)
        self._ended.set()

    def _sign_in(self) -> Shard:
        resources, shard = self._resources, self._shard
        if self._login_file is not None:
            method = "file"
            login_file = login_from_file(
                resources, shard, self._login_file, wait_for_shard=self._must_wait, cancel=self._cancel
            )
        else:
            method = self._method.value
            login_file = login_shard(
                resources,
                shard,
                on_prompt=self._prompted,
                wait_for_shard=self._must_wait,
                cancel=self._cancel,
                method=self._method,
                api_key=self._api_key,
            )
        return _signed_in(resources, shard, login_file, method)

    def _refuse_without_image(self) -> None:
        image = self._resources.settings.spec_automation_job_image
        if self._resources.engine.image(image) is None:
            raise ImageNotFound(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")

    def _refuse_on_a_full_disk(self) -> None:
        # Before the person signs in: a login that is stored but not recorded looks like one that was replaced.
        settings = self._resources.settings
        least, free = least_to_accept(settings), data_disk(settings).free
        if free < least:
            raise StoreError(
                f"The disk of the data folder has {size(free)} free; a sign-in needs at least {size(least)}.",
                hint="Free space there, or lower MIN_FREE_DISK. The login was not changed.",
            )

    def _prompted(self, prompt: LoginPrompt) -> None:
        expires_at = self._resources.clock() + timedelta(seconds=prompt.seconds)
        self._steps.put(SignInPrompt(prompt.address, prompt.code, expires_at))

    def _must_wait(self, taken: NameTaken) -> None:
        self._steps.put(SignInWaiting(lock_holder(taken), taken.holder.get(LABEL_RUN)))


def sign_out(resources: Resources, shard: int, *, cancel: CancelToken | None = None) -> tuple[Shard, bool]:
    """Sign out; returns the shard's state, and whether there was a login. Idempotent. See `logout_shard`.

    Raises:
        LogoutRefused: a run or another sign-in uses the shard.
        EngineError: the engine failed.
    """
    was = logout_shard(resources, shard, cancel=cancel)
    state = record_login_file(resources, shard, None, signed_in=True)
    resources.redactor.forget(f"shard {shard}")
    if was:
        resources.store.events.add("shard.signed_out", shard=shard)
    update_waiting(resources)
    return state, was


def _signed_in(resources: Resources, shard: int, login_file: bytes, method: str) -> Shard:
    state = record_login_file(resources, shard, login_file, signed_in=True)
    resources.store.events.add("shard.signed_in", shard=shard, data={"way": method})
    update_waiting(resources)
    resources.wakeups.wake(shard)
    return state
