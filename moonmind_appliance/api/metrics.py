"""Metrics for Prometheus: the API's responses, this process, and what `state_metrics.py` reads."""

from collections.abc import Callable

from litestar import Response, Router, get
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from moonmind_appliance.api.auth import require_operator
from moonmind_appliance.api.parts import ApiParts
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.state_metrics import StateMetrics

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
        ProcessCollector(registry=self.registry)
        self.registry.register(StateMetrics(parts, open_streams))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response; `seconds` is the time until it began, `route` the path template."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)


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
