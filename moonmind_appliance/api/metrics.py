"""Metrics for Prometheus: the API's responses, and the contents of database and disk at the time of the scrape."""

import shutil
from collections.abc import Callable, Iterator

from litestar import Response, Router, get
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from moonmind_appliance.api.auth import require_operator
from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.models import LoginState, RunStatus

_CONTENT_TYPE = "text/plain; version=0.0.4"
# Methods with a label of their own. A caller may send any method name, and each would be a permanent series.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The registry of one appliance; it does not use the global one."""

    def __init__(self, parts: ApiParts, open_streams: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "moonmind_http_requests",
            "Requests, by method, route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "moonmind_http_request_seconds",
            "Time until the response started, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Holdings(parts, open_streams))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response; `seconds` is the time until it began, `route` the path template."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Everything, in Metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class _Holdings(Collector):
    """The contents of the database and the disk now."""

    def __init__(self, parts: ApiParts, open_streams: Callable[[], int]) -> None:
        self._parts = parts
        self._open_streams = open_streams

    def describe(self) -> Iterator[Metric]:
        # Without this, registering would read the database.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        store, settings = self._parts.resources.store, self._parts.resources.settings
        runs = GaugeMetricFamily("moonmind_runs", "Runs, by status.", labels=["status"])
        counts = store.runs.counts()
        for status in RunStatus:
            runs.add_metric([status.value], counts.get(status, 0))
        yield runs
        login = GaugeMetricFamily(
            "moonmind_shard_login", "1 for the current state of the shard's login.", labels=["shard", "login"]
        )
        for shard in store.shards.all(settings.codex_shards):
            for state in LoginState:
                login.add_metric([str(shard.shard), state.value], float(shard.login is state))
        yield login
        free = shutil.disk_usage(settings.moonmind_data_dir).free
        yield GaugeMetricFamily(
            "moonmind_free_disk_bytes", "Free space on the disk that contains the data folder.", value=free
        )
        yield GaugeMetricFamily("moonmind_event_streams", "Open event streams.", value=self._open_streams())
        info = GaugeMetricFamily("moonmind_appliance_info", "Version of the appliance.", labels=["version"])
        info.add_metric([self._parts.version], 1)
        yield info


@get(
    "/",
    sync_to_thread=True,
    media_type="text/plain",
    operation_id="get_metrics",
    summary="Metrics",
    response_description="Metrics in the Prometheus text format.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
def get_metrics(request: ApiRequest) -> Response[str]:
    """Get the metrics for Prometheus. Needs the operator role, because they cover the runs of all users."""
    metrics: Metrics = request.app.state["metrics"]
    return Response(metrics.text().decode(), media_type=_CONTENT_TYPE)


metrics_router = Router("/metrics", route_handlers=[get_metrics], guards=[require_operator], tags=["health"])
