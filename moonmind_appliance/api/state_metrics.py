"""Metrics of the contents of database and disk, and of this process, read at the time of the scrape.

The number of statements does not depend on the number of runs, and nothing here waits for the Docker engine. Every
label has a bounded set of values, and every value that an alert compares is present from the first scrape.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.checks import Level
from moonmind_appliance.models import FINAL_RUN_STATUSES, PHASE_ORDER, FailureCode, LoginState, RunStatus, WaitReason
from moonmind_appliance.store.backlog import TURN, Waiting
from moonmind_appliance.store.counters import ENDED, phase_histogram
from moonmind_appliance.store.last_backup import last_backup
from moonmind_appliance.store.webhooks import DELIVERIES, DELIVERY_RESULTS

_NOTHING = Waiting(0, 0.0)


class StateMetrics(Collector):
    """The contents of the database and the disk, and the state of the process, now."""

    def __init__(self, parts: ApiParts, open_streams: Callable[[], int]) -> None:
        self._parts = parts
        self._open_streams = open_streams

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: without this, registering would read the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families.

        Raises:
            StoreError: the database cannot be read.
        """
        counters = self._parts.resources.store.counters.all()
        yield from self._runs()
        yield from self._counted(counters)
        yield from self._shards()
        yield from self._disk()
        yield from self._webhook(counters)
        yield from self._process()

    def _runs(self) -> Iterator[Metric]:
        resources = self._parts.resources
        counts, backlog = resources.store.runs.counts(), resources.store.backlog.now(resources.clock())
        yield _gauge(
            "moonmind_runs", "Runs, by status.", ["status"], [([it.value], counts.get(it, 0)) for it in RunStatus]
        )
        waiting = [(reason, backlog.waiting.get(reason, _NOTHING)) for reason in (TURN, *WaitReason)]
        yield _gauge(
            "moonmind_waiting_runs",
            "Queued runs, by what they wait for; `turn`: they wait only for their turn.",
            ["reason"],
            [([str(reason)], found.runs) for reason, found in waiting],
        )
        yield _gauge(
            "moonmind_oldest_waiting_run_seconds",
            "For how long the oldest of these queued runs has waited; 0 without one.",
            ["reason"],
            [([str(reason)], found.oldest_seconds) for reason, found in waiting],
        )
        yield _gauge(
            "moonmind_oldest_queued_run_seconds",
            "For how long the oldest queued run has waited; 0 without one.",
            [],
            [([], max(found.oldest_seconds for _, found in waiting))],
        )
        yield _gauge(
            "moonmind_shard_busy",
            "1 if a run is in progress on the shard.",
            ["shard"],
            [([str(shard.index)], shard.index in backlog.running) for shard in resources.shards],
        )

    def _counted(self, counters: dict[tuple[str, ...], float]) -> Iterator[Metric]:
        ended = {key[1:]: value for key, value in counters.items() if key[0] == ENDED and len(key) == 3}  # noqa: PLR2004
        yield _counter(
            "moonmind_runs_ended",
            "Runs that ended, by final status; a retried run counts at each end.",
            ["status"],
            [
                ([status.value], sum(value for (its, _), value in ended.items() if its == status.value))
                for status in RunStatus
                if status in FINAL_RUN_STATUSES
            ],
        )
        yield _counter(
            "moonmind_run_failures",
            "Runs that failed, by failure code.",
            ["code"],
            [([code.value], ended.get((RunStatus.FAILED.value, code.value), 0)) for code in FailureCode],
        )
        seconds = HistogramMetricFamily(
            "moonmind_phase_duration_seconds", "Duration of the phases that succeeded.", labels=["phase"]
        )
        for phase in PHASE_ORDER:
            buckets, total = phase_histogram(counters, phase.value)
            seconds.add_metric([phase.value], buckets, total)
        yield seconds

    def _shards(self) -> Iterator[Metric]:
        resources = self._parts.resources
        shards = resources.store.shards.all(resources.settings.codex_shards)
        yield _gauge(
            "moonmind_shard_login",
            "1 for the current state of the shard's login.",
            ["shard", "login"],
            [([str(shard.shard), state.value], shard.login is state) for shard in shards for state in LoginState],
        )
        yield _gauge(
            "moonmind_shard_paused",
            "1 if an operator paused the shard.",
            ["shard"],
            [([str(shard.shard)], shard.paused_at is not None) for shard in shards],
        )
        now = resources.clock()
        yield _gauge(
            "moonmind_shard_cooldown_seconds",
            "Time until the shard's quota resets; 0 outside a quota cooldown.",
            ["shard"],
            [
                ([str(it.shard)], max(0.0, (it.cooldown_until - now).total_seconds()) if it.cooldown_until else 0)
                for it in shards
            ],
        )

    def _webhook(self, counters: dict[tuple[str, ...], float]) -> Iterator[Metric]:
        yield _counter(
            "moonmind_webhook_deliveries",
            "Attempts to deliver a message of the webhook, by result.",
            ["result"],
            [([result], counters.get((DELIVERIES, result), 0)) for result in DELIVERY_RESULTS],
        )
        pending = self._parts.resources.store.webhooks.pending()
        yield _gauge("moonmind_webhook_pending", "Webhook messages that are not delivered yet.", [], [([], pending)])

    def _disk(self) -> Iterator[Metric]:
        resources = self._parts.resources
        backup = last_backup(resources.store.database)
        yield _gauge(
            "moonmind_last_backup_timestamp_seconds",
            "When `moonmind-appliance backup` last wrote a backup; 0 if it never did.",
            [],
            [([], 0.0 if backup is None else backup.timestamp())],
        )
        disk = shutil.disk_usage(resources.settings.moonmind_data_dir)
        for name, text, value in (
            ("moonmind_free_disk_bytes", "Free space on the disk that contains the data folder.", disk.free),
            ("moonmind_disk_size_bytes", "Size of the disk that contains the data folder.", disk.total),
            (
                "moonmind_min_free_disk_bytes",
                "MIN_FREE_DISK: with less free space, no run starts.",
                resources.settings.min_free_disk,
            ),
            ("moonmind_database_size_bytes", "Size of the database, with its write-ahead log.", self._database_bytes()),
        ):
            yield _gauge(name, text, [], [([], value)])

    def _database_bytes(self) -> int:
        path = self._parts.resources.store.database.path
        files = (path, path.with_name(f"{path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _process(self) -> Iterator[Metric]:
        process = self._parts.process
        yield _gauge(
            "moonmind_check_ok",
            "1 if the check of /ready passed, at most about a minute ago.",
            ["check"],
            [([name], finding.level is not Level.WRONG) for name, finding in process.checks().items()],
        )
        yield _gauge(
            "moonmind_thread_alive",
            "1 if the thread runs.",
            ["thread"],
            [([name], alive) for name, alive in process.threads().items()],
        )
        yield _gauge(
            "moonmind_periodic_job_last_success_timestamp_seconds",
            "When the periodic job last succeeded; before that, when the process started.",
            ["name"],
            [([name], at) for name, at in process.jobs().items()],
        )
        stopping = self._parts.resources.stopping.is_set()
        drained = self._parts.resources.store.drain.since() is not None
        yield _gauge("moonmind_drained", "1 while an operator has drained the appliance.", [], [([], drained)])
        yield _gauge("moonmind_stopping", "1 while the appliance stops.", [], [([], stopping)])
        yield _gauge("moonmind_event_streams", "Open event streams.", [], [([], self._open_streams())])
        yield _gauge("moonmind_appliance_info", "Version of the appliance.", ["version"], [([self._parts.version], 1)])


_Samples = Iterable[tuple[list[str], float]]


def _gauge(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def _counter(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    """The format adds `_total` to the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family
