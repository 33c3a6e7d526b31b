"""What the headers and the bytes of a request may be, and how all that is wrong with it is listed."""

import codecs
import gzip
import zlib
from typing import Any

import httpx
import pytest

from moonmind_appliance.api.request import json_words
from tests.api.served import REQUEST, Served
from tests.known_tokens import REAL

JSON = {"Content-Type": "application/json"}


def errors(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_fields_of_a_wrong_type_and_fields_of_a_wrong_value_are_listed_together(shared: Served) -> None:
    """One request is enough to learn of all problems, in the order of the fields; the header comes last."""
    body = {
        "shard": 99,
        "dry_run": "true",
        "external_ref": "x" * 256,
        "base_branch": "-",
        "specify_text": 3,
        "repository": "a",
        "colour": "red",
    }
    found = errors(shared.client().post("/runs", json=body, headers={"Idempotency-Key": "k" * 256}))
    assert list(found) == [
        "colour",
        "repository",
        "specify_text",
        "base_branch",
        "dry_run",
        "external_ref",
        "shard",
        "Idempotency-Key",
    ]
    assert found["dry_run"] == "Expected boolean, got string."


def test_a_text_that_is_too_long_stays_413_beside_a_wrong_type(shared: Served) -> None:
    """The other problems are listed too."""
    body = REQUEST | {"specify_text": "A" * 262_145, "dry_run": 1}
    answer = shared.client().post("/runs", json=body)
    assert answer.status_code == 413
    assert [error["field"] for error in answer.json()["errors"]] == ["specify_text", "dry_run"]


def test_a_secret_beside_a_wrong_type_is_found(shared: Served) -> None:
    """The caller must learn of it although the request is refused anyway."""
    body = REQUEST | {"specify_text": REAL, "dry_run": "no"}
    found = errors(shared.client().post("/runs", json=body))
    assert list(found) == ["specify_text", "dry_run"]
    assert "secret" in found["specify_text"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("repository", {"a": 1}, "Expected string, got object."),
        ("repository", True, "Expected string, got boolean."),
        ("dry_run", None, "Expected boolean, got null."),
        ("dry_run", 1, "Expected boolean, got integer."),
        ("external_ref", [1], "Expected string or null, got array."),
        ("shard", "0", "Expected integer or null, got string."),
        ("shard", 1.5, "Expected integer or null, got number."),
        ("shard", False, "Expected integer or null, got boolean."),
    ],
)
def test_types_are_named_as_in_json(shared: Served, field: str, value: Any, message: str) -> None:
    """Callers need not know Python."""
    assert errors(shared.client().post("/runs", json=REQUEST | {field: value})) == {field: message}


def test_other_words_between_backquotes_stay() -> None:
    """Only names of types are translated."""
    assert (
        json_words("Expected `int | null`, got `str` - at `$.a[0]`")
        == "Expected integer or null, got string - at `$.a[0]`"
    )


def test_all_parameters_of_the_list_are_checked_at_once(shared: Served) -> None:
    """Unknown, repeated and invalid ones come together."""
    found = errors(shared.client().get("/runs?limit=x&status=done&stauts=1&cursor=abc&external_ref=a&external_ref=b"))
    assert list(found) == ["stauts", "status", "external_ref", "limit", "cursor"]
    assert found["status"].endswith("queued, in_progress, succeeded, failed, no_changes, cancelled.")
    assert found["limit"] == "Expected an integer from 1 to 200."


@pytest.mark.parametrize("limit", ["0", "201", "-1", "+1", "1.0", "", "null", "9" * 30, "٣", "1_0"])
def test_a_limit_is_a_plain_integer(shared: Served, limit: str) -> None:
    """Other forms of numbers are refused."""
    assert list(errors(shared.client().get("/runs", params={"limit": limit}))) == ["limit"]


@pytest.mark.parametrize(
    "name", ["Idempotency-Key", "Content-Type", "Content-Encoding", "Range", "If-Range", "Last-Event-ID"]
)
def test_a_header_with_one_value_must_not_be_repeated(shared: Served, name: str) -> None:
    """The API would have to guess which one is meant, so it refuses both."""
    value = "application/json" if name == "Content-Type" else "a"
    headers = [(name, value), (name, value)] + ([] if name == "Content-Type" else list(JSON.items()))
    answer = shared.client().post("/runs", json=REQUEST, headers=headers)
    assert errors(answer) == {name: "Given more than once."}
    assert shared.store.run_lists.queued() == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "x" * 1000])
def test_a_compressed_body_is_415(shared: Served, coding: str) -> None:
    """The answer names the header, and the coding that is accepted (RFC 9110, section 15.5.16)."""
    answer = shared.client().post("/runs", content=gzip.compress(b"{}"), headers=JSON | {"Content-Encoding": coding})
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"
    assert "Content-Encoding" in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "identity"
    assert len(answer.content) < 1000


def test_a_body_without_compression_may_say_so(served: Served) -> None:
    """`identity` is no compression."""
    answer = served.client().post("/runs", json=REQUEST, headers={"Content-Encoding": "Identity"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (codecs.BOM_UTF8 + b"{}", "byte order mark (BOM)"),
        (codecs.BOM_UTF16_LE + "{}".encode("utf-16-le"), "UTF-16"),
        ("{}".encode("utf-16-be"), "UTF-16"),
        ("{}".encode("utf-16-le"), "UTF-16"),
        ("{}".encode("utf-32"), "UTF-32"),
        (codecs.BOM_UTF8, "without its first three bytes, EF BB BF"),
        (gzip.compress(b"{}", mtime=0), "compressed with gzip"),
        (zlib.compress(b"{}" * 99), "compressed with deflate"),
        (b"{", "ends too early"),
        (b'{"a": "\xff"}', "is not valid UTF-8 at byte 7"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\x00", "not valid JSON"),
    ],
)
def test_bytes_that_are_not_json_are_called_what_they_are(shared: Served, body: bytes, words: str) -> None:
    """The caller reads what to change, not "invalid character"."""
    answer = shared.client().post("/runs", content=body, headers=JSON)
    assert answer.json()["code"] == "malformed_json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("application/json; charset=utf-16", "The body has the charset utf-16. Send JSON in UTF-8"),
        ("application/json; charset=iso-8859-1", "the charset iso-8859-1"),
        ("application/x-www-form-urlencoded", "`Content-Type: application/x-www-form-urlencoded`. Send it as JSON"),
        ("text/plain", "`Content-Type: text/plain`"),
        ("application/gzip", "`Content-Type: application/gzip`"),
        ("x" * 1000, "`Content-Type: " + "x" * 100 + "`"),
    ],
)
def test_another_content_type_or_charset_is_named(shared: Served, given: str, words: str) -> None:
    """The response names what was sent, and says what to send."""
    answer = shared.client().post("/runs", content=b"{}", headers={"Content-Type": given})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert words in answer.json()["detail"]
    assert "`Content-Type: application/json`" in answer.json()["detail"]
