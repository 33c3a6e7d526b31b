"""What every request has: an id, a log line and a count; and the way to the page."""

import logging
from pathlib import Path

import pytest

from tests.api.served import BASE, Served, serve


def test_probes_leave_no_line_at_info(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frequent probes do not fill the log at INFO; at DEBUG their lines are logged, too."""
    caplog.set_level(logging.DEBUG, "moonmind_appliance.api.app")
    with serve(tmp_path) as served:
        for address in ("/health", "/ready", "/runs"):
            served.client().get(address, headers={"X-Request-ID": "probe-1"})
    lines = [record for record in caplog.records if "probe-1" in record.getMessage()]
    assert [record.levelname for record in lines] == ["DEBUG", "DEBUG", "INFO"]


@pytest.mark.parametrize("address", ["/", BASE, f"{BASE}/"])
def test_the_root_and_the_base_path_lead_to_the_page(shared: Served, address: str) -> None:
    """People open them in a browser; no token is needed."""
    client = shared.client(None)
    answer = client.get(shared.address + address)
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{BASE}/schema"
    assert client.get(shared.address + answer.headers["location"]).status_code == 200
    assert client.head(shared.address + address).status_code == 302


@pytest.mark.parametrize("path", ["/api", "/api/spec-automation/docs", "/docs"])
def test_an_address_beside_it_names_the_page(shared: Served, path: str) -> None:
    """The 404 says where the routes are listed."""
    answer = shared.client(None).get(shared.address + path)
    assert answer.status_code == 404
    assert f"{BASE}/schema" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/runs", "GET, HEAD, OPTIONS, POST"),
        ("/runs/00000000-0000-0000-0000-000000000000", "GET, HEAD, OPTIONS"),
        ("/runs/00000000-0000-0000-0000-000000000000/cancel", "OPTIONS, POST"),
        ("/shards", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_needs_no_token(shared: Served, path: str, methods: str) -> None:
    """The answer contains only what the API's description contains: it is the same for a run that exists."""
    answer = shared.client(None).options(path)
    assert answer.status_code == 204
    assert answer.headers["allow"] == methods
    assert shared.client(None).options(path, headers={"Authorization": "Bearer wrong"}).status_code == 204
