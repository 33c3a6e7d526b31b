"""Those who submit and cancel runs while the appliance fails, and check what it answers."""

import threading
import time
from collections.abc import Collection

import httpx

from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from tests.faults.collect import artifact_rows, files_of, open_to_read
from tests.faults.invariants import INVARIANTS, Facts, Violation
from tests.faults.schedule import Plan, plans
from tests.faults.victim import API, Victim


class Callers(threading.Thread):
    """Submits runs so that some are always open, cancels some, and checks the artifacts of each that ended.

    A submission without a response is sent again with its Idempotency-Key, as the docs say; one that was refused is
    not sent again, so that it is found if it was stored.
    """

    def __init__(self, victim: Victim, environment: RehearsalEnvironment, seed: int, open_runs: int) -> None:
        super().__init__(name="callers", daemon=True)
        self._victim, self._environment = victim, environment
        self._plans, self._open_runs, self._seed = plans(seed), open_runs, seed
        self._next: Plan | None = None
        self.cancels: list[tuple[float, str]] = []
        self._checked: set[str] = set()
        self._client = victim.served.client()
        self._client.timeout = httpx.Timeout(20)
        self.accepted: dict[str, Collection[str]] = {}
        self.dry_runs: set[str] = set()
        self.violations: list[Violation] = []
        self.submitting = True
        # While it is set, runs are submitted although enough are open, until one is accepted.
        self.tests_whether_accepted = threading.Event()
        self.accepted_at = 0.0
        self.refusals: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                self._cancel_due()
                self._check_ended()
                if self.submitting or self._next is not None:
                    self._submit()
            except Exception as error:  # noqa: BLE001 - a defect of the harness must fail it, not end its thread
                self.violations.append(Violation("the harness works", "callers", repr(error)))
        self._client.close()

    @property
    def busy(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self.cancels) or self._next is not None

    def limit_next_turn(self) -> None:
        """The account of the next turn reaches its usage limit, which resets after some seconds."""
        self._environment.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=3), times=1)

    def cancel_newest(self) -> None:
        """Cancel the run that was accepted last, soon."""
        if self.accepted:
            run_id = list(self.accepted)[-1]
            self.accepted[run_id] = {"succeeded", "cancelled"}
            self.cancels.append((time.monotonic() + 0.5, run_id))

    def _submit(self) -> None:
        (row,) = self._victim.rows("SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'in_progress')")
        if row["n"] >= self._open_runs and self._next is None and not self.tests_whether_accepted.is_set():
            return
        if self._next is None:
            self._next = next(self._plans)
        plan = self._next
        body = {"repository": plan.repository, "specify_text": plan.text, "dry_run": plan.dry_run}
        answer = self._post(f"{API}/runs", json=body, headers={"Idempotency-Key": f"{self._seed}-{plan.number}"})
        if answer is None:
            return
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self._refused(answer)
        elif answer.status_code != httpx.codes.ACCEPTED:
            self.violations.append(Violation("submissions are accepted", str(plan.number), answer.text))
        else:
            self.accepted_at = time.time()
            self.tests_whether_accepted.clear()
            if plan.limited:
                self.limit_next_turn()
            run_id = answer.json()["run_id"]
            self.accepted[run_id] = {"succeeded"} if plan.cancel_after is None else {"succeeded", "cancelled"}
            if plan.dry_run:
                self.dry_runs.add(run_id)
            if plan.cancel_after is not None:
                self.cancels.append((time.monotonic() + plan.cancel_after, run_id))
        self._next = None

    def _refused(self, answer: httpx.Response) -> None:
        self.refusals.append(answer.json()["code"])
        if "Retry-After" not in answer.headers:
            self.violations.append(Violation("a refusal says when to come back", "POST /runs", answer.text))

    def _cancel_due(self) -> None:
        for due, run_id in list(self.cancels):
            if time.monotonic() < due:
                continue
            answer = self._post(f"{API}/runs/{run_id}/cancel")
            if answer is None or answer.status_code == 503:
                continue
            self.cancels.remove((due, run_id))
            if answer.status_code not in (202, 409):
                self.violations.append(Violation("cancels are accepted", run_id, answer.text))

    def _post(self, path: str, **request: object) -> httpx.Response | None:
        """The answer; None if there is none, because the process was killed or does not run."""
        try:
            return self._client.post(path, **request)
        except httpx.HTTPError:
            return None

    def _check_ended(self) -> None:
        """Now, because retention may remove the files before the end."""
        for row in self._victim.rows("SELECT run_id FROM runs WHERE status NOT IN ('queued', 'in_progress')"):
            if row["run_id"] not in self._checked:
                self._checked.add(row["run_id"])
                self._check_artifacts(row["run_id"])

    def _check_artifacts(self, run_id: str) -> None:
        with open_to_read(self._victim.data_dir) as connection:
            facts = Facts(artifacts=artifact_rows(connection, run_id))
        facts.files, _ = files_of(self._victim.data_dir, run_id)
        for name in ("artifact rows are true", "artifact files have rows"):
            found = [Violation(name, subject, what) for subject, what in INVARIANTS[name](facts)]
            if found and not self._victim.rows(
                "SELECT 1 FROM events WHERE run_id = ? AND kind = 'artifacts.removed'", run_id
            ):
                self.violations += found
