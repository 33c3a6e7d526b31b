"""`runs list` over HTTP and on the data folder."""

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_list_filters_and_pages(caller: Terminal, served: Served) -> None:
    """Filters, pages and cursors are the API's."""
    runs = [served.submit(external_ref=f"ref-{number}") for number in range(3)]
    page = caller.call("runs", "list", "--json", "--limit", "2").json
    assert [item["run_id"] for item in page["items"]] == [runs[2], runs[1]]
    rest = caller.call("runs", "list", "--json", "--cursor", page["next_cursor"]).json
    assert [item["run_id"] for item in rest["items"]] == [runs[0]]
    one = caller.call("runs", "list", "--json", "--external-ref", "ref-1", "--status", "queued").json
    assert [item["run_id"] for item in one["items"]] == [runs[1]]
    assert caller.call("runs", "list", "--repository", "acme/none").stdout == "No run matches.\n"
