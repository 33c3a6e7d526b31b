"""Lists of runs: filters, order, no specification text, no statement per row, no unreadable row that hides others."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from moonmind_appliance.models import Phase, PhaseName, PhaseStatus, Run, RunFilter, RunOrder, RunStatus
from moonmind_appliance.store import Store

MakeRun = Callable[..., Run]
ALL = RunFilter()


def page_ids(store: Store, **fields: object) -> list[str]:
    return [run.run_id for run in store.run_lists.page(RunFilter(**fields), limit=99)]  # type: ignore[arg-type]


@pytest.fixture
def statements(store: Store) -> list[str]:
    """Every statement that this thread's connection executes from now on."""
    seen: list[str] = []
    with store.database.read() as connection:
        connection.set_trace_callback(lambda text: seen.append(" ".join(text.split())))
    seen.clear()
    return seen


class TestPage:
    def test_newest_first(self, store: Store, make_run: MakeRun) -> None:
        """Newest first; at the same time of acceptance the greater id first."""
        at = make_run().accepted_at
        for run_id in ("b", "a", "c"):
            store.runs.insert(make_run(run_id=run_id, accepted_at=at))
        store.runs.insert(make_run(run_id="newest"))
        assert page_ids(store) == ["newest", "c", "b", "a"]

    def test_pages(self, store: Store, make_run: MakeRun) -> None:
        """Going from page to page sees every run once, also those accepted at the same time."""
        at = make_run().accepted_at
        runs = [store.runs.insert(make_run(accepted_at=at)) for _ in range(5)]
        runs += [store.runs.insert(make_run()) for _ in range(4)]
        seen: list[Run] = []
        while page := store.run_lists.page(
            ALL, limit=2, before=(seen[-1].accepted_at, seen[-1].run_id) if seen else None
        ):
            seen += page
        assert sorted(run.run_id for run in seen) == sorted(run.run_id for run in runs)

    def test_filters(self, store: Store, make_run: MakeRun, now: datetime) -> None:
        """Each filter alone, and all together; the repository in any case, as GitHub compares it."""
        one = store.runs.insert(make_run("local:ann", repository="Acme/Shop", external_ref="T-1")).run_id
        two = store.runs.insert(make_run("local:bob", repository="acme/shop", external_ref="T-2")).run_id
        three = store.runs.insert(make_run("local:ann", repository="acme/other", external_ref="T-1")).run_id
        store.runs.request_cancel(three, now=now)
        assert page_ids(store, created_by="local:ann") == [three, one]
        assert page_ids(store, statuses=frozenset({RunStatus.QUEUED})) == [two, one]
        assert page_ids(store, statuses=frozenset({RunStatus.QUEUED, RunStatus.CANCELLED})) == [three, two, one]
        assert page_ids(store, repository="ACME/SHOP") == [two, one]
        assert page_ids(store, external_ref="T-1") == [three, one]
        assert page_ids(store, external_ref="t-1") == []
        assert page_ids(
            store,
            created_by="local:ann",
            statuses=frozenset({RunStatus.CANCELLED}),
            repository="acme/OTHER",
            external_ref="T-1",
            text="acme",
        ) == [three]

    @pytest.mark.parametrize(
        "text", ["SHOP", "e/sh", "müller", "MÜLLER", "CAFÉ", "fé-7", "Queued", "5b0c6a5e", "100%", "_x_"]
    )
    def test_text(self, store: Store, make_run: MakeRun, now: datetime, text: str) -> None:
        """A part of repository, reference, id, user name or status, in any case and alphabet; nothing is a wildcard."""
        wanted = store.runs.insert(
            make_run(
                "local:Müller",
                run_id="5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11",
                repository="Acme/Shop",
                external_ref="Café-7 100% _x_",
            )
        )
        other = store.runs.insert(make_run("local:bob", run_id="0" * 36, repository="zeta/omega", external_ref="1000"))
        store.runs.request_cancel(other.run_id, now=now)
        assert page_ids(store, text=text) == [wanted.run_id]

    @pytest.mark.parametrize("text", ["shopann", "Acme/Shop\x1fann", "annqueued", "nothing"])
    def test_text_of_no_field(self, store: Store, make_run: MakeRun, text: str) -> None:
        """No match spans two fields."""
        store.runs.insert(make_run("local:ann", repository="Acme/Shop"))
        assert page_ids(store, text=text) == []

    def test_no_text_and_one_statement(self, store: Store, make_run: MakeRun, statements: list[str]) -> None:
        """One SELECT for any number of runs, which does not read the specifications."""
        for _ in range(5):
            store.runs.insert(make_run(specify_text="x" * 10_000))
        statements.clear()
        page = store.run_lists.page(ALL, limit=5)
        assert [run.specify_text for run in page] == [""] * 5
        assert [text for text in statements if text.startswith("SELECT")] == [
            "SELECT * FROM runs WHERE TRUE ORDER BY accepted_at DESC, run_id DESC"
        ]


class TestIds:
    @pytest.fixture
    def runs(self, store: Store, make_run: MakeRun, now: datetime) -> dict[str, str]:
        """Six runs by name: their ids. `old` was accepted first."""
        names = ("old", "busy", "failed", "waits", "done", "waits_too")
        repositories = ("b/b", "a/a", "B/B", "c/c", "a/a", "a/b")
        ids = {
            name: store.runs.insert(make_run(f"local:{name}", repository=repository)).run_id
            for name, repository in zip(names, repositories, strict=True)
        }
        for name, status, seconds in (
            ("old", RunStatus.SUCCEEDED, 10),
            ("failed", RunStatus.FAILED, 30),
            ("done", RunStatus.SUCCEEDED, 20),
            ("busy", None, 0),
        ):
            while (run := store.queue.claim(0, name, now=now, lease_seconds=9)) and run.run_id != ids[name]:
                store.queue.release(run.run_id, name, waiting_for=None, interrupted=False)
                with store.database.write() as connection:
                    connection.execute("UPDATE runs SET started_at = NULL WHERE run_id = ?", (run.run_id,))
                    connection.execute("UPDATE runs SET waiting_until = '9' WHERE run_id = ?", (run.run_id,))
            if status is not None:
                end = now + timedelta(seconds=seconds)
                store.progress.finish(ids[name], name, status, now=end, result_summary=None, failure=None)
            with store.database.write() as connection:
                connection.execute("UPDATE runs SET waiting_until = NULL")
        return ids

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            (RunOrder.NEWEST, ["waits_too", "done", "waits", "failed", "busy", "old"]),
            (RunOrder.OLDEST, ["old", "busy", "failed", "waits", "done", "waits_too"]),
            (RunOrder.ACTIVE, ["busy", "waits_too", "waits", "done", "failed", "old"]),
            (RunOrder.REPOSITORY, ["done", "busy", "waits_too", "failed", "old", "waits"]),
            (RunOrder.STATUS, ["waits_too", "waits", "busy", "done", "old", "failed"]),
            (RunOrder.DURATION, ["failed", "busy", "done", "old", "waits_too", "waits"]),
        ],
    )
    def test_order(
        self, store: Store, runs: dict[str, str], now: datetime, order: RunOrder, expected: list[str]
    ) -> None:
        """Each order, with the newest first among equals; a run in progress has lasted until now."""
        found = store.run_lists.ids(ALL, order, now=now + timedelta(seconds=25))
        assert found == [runs[name] for name in expected]

    def test_filter(self, store: Store, runs: dict[str, str], now: datetime) -> None:
        """A filter applies to every group of an order."""
        wanted = RunFilter(text="a/", statuses=frozenset({RunStatus.IN_PROGRESS, RunStatus.QUEUED}))
        found = store.run_lists.ids(wanted, RunOrder.ACTIVE, now=now)
        assert found == [runs["busy"], runs["waits_too"]]

    def test_every_order_has_all(self, store: Store, runs: dict[str, str], now: datetime) -> None:
        """No order loses or doubles a run."""
        for order in RunOrder:
            assert sorted(store.run_lists.ids(ALL, order, now=now)) == sorted(runs.values())


class TestById:
    def test_with_phases(self, store: Store, make_run: MakeRun, now: datetime, statements: list[str]) -> None:
        """Runs with the status of their phases, by two statements; an unknown id is left out."""
        ids = [store.runs.insert(make_run()).run_id for _ in range(3)]
        store.queue.claim(0, "mine", now=now, lease_seconds=9)
        store.progress.save_phase(
            ids[0], "mine", Phase(phase=PhaseName.PREPARE_JOB, status=PhaseStatus.RUNNING, attempt=1)
        )
        statements.clear()
        found = store.run_lists.by_id([ids[0], "absent", ids[2]])
        assert list(found) == [ids[0], ids[2]] or set(found) == {ids[0], ids[2]}
        assert found[ids[0]].phases == (PhaseStatus.RUNNING, *[PhaseStatus.PENDING] * 8)
        assert found[ids[2]].phases == (PhaseStatus.PENDING,) * 9
        assert found[ids[0]].run.status is RunStatus.IN_PROGRESS
        assert sum(text.startswith("SELECT") for text in statements) == 2

    def test_none(self, store: Store) -> None:
        """No id, no run."""
        assert store.run_lists.by_id([]) == {}


def test_prefix(store: Store, make_run: MakeRun) -> None:
    """The ids with that prefix, of one submitter or of all, up to the limit."""
    for run_id, user in (("abcd1", "local:ann"), ("abcd2", "local:bob"), ("abce", "local:ann"), ("abc", "local:ann")):
        store.runs.insert(make_run(user, run_id=run_id))
    lists = store.run_lists
    assert lists.with_prefix("abcd", created_by=None, limit=9) == ["abcd1", "abcd2"]
    assert lists.with_prefix("abcd", created_by="local:ann", limit=9) == ["abcd1"]
    assert lists.with_prefix("abcd", created_by=None, limit=1) == ["abcd1"]
    assert lists.with_prefix("abcd11", created_by=None, limit=9) == []
    assert lists.with_prefix("%", created_by=None, limit=9) == []


def test_repositories(store: Store, make_run: MakeRun) -> None:
    """The most recently used first, each once, in its latest spelling."""
    for repository in ("acme/shop", "acme/site", "Acme/Shop", "acme/docs"):
        store.runs.insert(make_run(repository=repository))
    assert store.run_lists.repositories(9) == ["acme/docs", "Acme/Shop", "acme/site"]
    assert store.run_lists.repositories(1) == ["acme/docs"]


def test_unreadable_row(store: Store, make_run: MakeRun, now: datetime, caplog: pytest.LogCaptureFixture) -> None:
    """A row that was corrupted by hand hides no other: pages are full, and the log names it."""
    one, two, three = (store.runs.insert(make_run()).run_id for _ in range(3))
    with store.database.write() as connection:
        connection.execute("UPDATE runs SET created_by = '{nonsense' WHERE run_id = ?", (two,))
    lists = store.run_lists
    with caplog.at_level(logging.ERROR):
        assert [run.run_id for run in lists.page(ALL, limit=2)] == [three, one]
    assert two in caplog.text
    assert set(lists.by_id([one, two, three])) == {one, three}
    assert [run.run_id for run in lists.queued()] == [one, three]
    assert page_ids(store, text="acme") == [three, one]
