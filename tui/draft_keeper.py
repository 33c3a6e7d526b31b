"""Checks the form's draft and keeps it on disk until it is submitted."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec

from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from tui.drafts import Draft, DraftFile
from tui.new_run_form import Checked, check_draft


class DraftCheck(NamedTuple):
    """The result of the check and of the save: the saved draft, or why it was not saved ("" if it was)."""

    checked: Checked
    draft: Draft
    problem: str


class DraftKeeper:
    """Blocks on disk access; thread-safe. After `forget` nothing is saved."""

    def __init__(self, file: DraftFile, settings: Settings, redactor: Redactor, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._settings = settings
        self._redactor = redactor
        self._clock = clock
        self._lock = threading.Lock()
        self._saved: Draft | None = None
        self._over = False

    def load(self) -> Draft | None:
        """The draft of an earlier form, or None."""
        self._saved = self._file.load()
        return None if self._saved is None or self._saved.empty else self._saved

    def check_and_save(self, draft: Draft) -> DraftCheck:
        """Check the draft, and save it unless it contains a secret; an empty one is removed."""
        checked = check_draft(draft, self._settings, self._redactor)
        with self._lock:
            if self._over or (self._saved is not None and draft.same_as(self._saved)):
                return DraftCheck(checked, self._saved or draft, "")
            if checked.secret:
                return DraftCheck(checked, draft, "it contains a secret")
            draft = msgspec.structs.replace(draft, saved_at=self._clock())
            try:
                if draft.empty:
                    self._file.clear()
                else:
                    self._file.save(draft)
            except OSError as error:
                return DraftCheck(checked, draft, error.strerror or "the disk rejected it")
            self._saved = draft
            return DraftCheck(checked, draft, "")

    def forget(self) -> None:
        """Remove the draft after it was submitted. If that fails, the next form shows it again."""
        with self._lock:
            self._over = True
            try:
                self._file.clear()
            except OSError:
                return
