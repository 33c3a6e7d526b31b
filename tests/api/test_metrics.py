"""Metrics for Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from tests.api.served import Served


def test_metrics_count_stored_data_and_responses(served: Served) -> None:
    """Prometheus can read them; routes are counted by their template, not by the path."""
    run_id = served.submit()
    served.client().get(f"/runs/{run_id}")
    served.client().get("/no/such/address")
    answer = served.client("olga").get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["moonmind_runs", "queued"] == 1
    assert samples["moonmind_runs", "failed"] == 0
    assert samples["moonmind_shard_login", "0", "unknown"] == 1
    assert samples["moonmind_event_streams",] == 0
    assert samples["moonmind_free_disk_bytes",] > 0
    assert samples["moonmind_appliance_info", "9.9.9"] == 1
    route = "/api/spec-automation/runs/{run_id}"
    assert samples["moonmind_http_requests_total", *sorted(("GET", route, "200"))] == 1
    assert samples["moonmind_http_requests_total", *sorted(("GET", "none", "404"))] == 1
    assert samples["moonmind_http_request_seconds_count", route] == 1
    assert run_id not in answer.text
    assert samples["process_open_fds",] > 0
    assert samples["process_resident_memory_bytes",] > 0
