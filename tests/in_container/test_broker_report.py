"""What the broker prints about OpenAI's answers, with its limits."""

import json
from typing import Any

import pytest

from moonmind_appliance.in_container.broker_report import BODY_KEPT, Answer, Report


class Printed:
    """A report, its lines, and its clock."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.now = 1000.0
        self.report = Report(lambda line: self.lines.append(json.loads(line)), lambda: self.now)

    def answer(self, path: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"") -> None:
        answer = Answer(path, status, headers)
        self.report.begins(answer)
        if answer.is_kept:
            answer.add(body)
            self.report.ends(answer)


@pytest.fixture
def printed() -> Printed:
    return Printed()


def test_an_answer_that_is_not_good_is_printed_with_its_body(printed: Printed) -> None:
    """And with the headers about the quota, in lower case; not with others."""
    headers = ((b"X-Codex-Plan-Type", b"plus"), (b"Set-Cookie", b"x"))
    printed.answer("codex/responses", 429, headers, b'{"error": "\xff"}')
    assert printed.lines == [
        {
            "broker": "answer",
            "at": 1000.0,
            "path": "codex/responses",
            "status": 429,
            "headers": {"x-codex-plan-type": "plus"},
            "body": '{"error": "\ufffd"}',
        }
    ]


def test_a_challenge_is_marked(printed: Printed) -> None:
    """Only a 403 with its header is one."""
    challenge = ((b"CF-Mitigated", b"challenge"),)
    printed.answer("codex/responses", 403, challenge)
    printed.answer("codex/models", 403)
    printed.answer("wham/usage", 429, challenge)
    assert [line.get("challenge", False) for line in printed.lines] == [True, False, False]


def test_the_same_answer_is_printed_once_a_second(printed: Printed) -> None:
    """Another status or path is printed at once."""
    for after, path, status in ((0, "a", 401), (0.5, "a", 401), (0, "a", 500), (0, "b", 401), (0.5, "a", 401)):
        printed.now += after
        printed.answer(path, status)
    assert [(line["path"], line["status"]) for line in printed.lines] == [
        ("a", 401),
        ("a", 500),
        ("b", 401),
        ("a", 401),
    ]


def test_the_quota_is_printed_when_it_changes(printed: Printed) -> None:
    """At the beginning of an answer, which may take minutes."""
    for used in (b"1", b"1", b"2"):
        printed.report.begins(Answer("codex/responses", 200, ((b"x-codex-primary-used-percent", used),)))
    printed.report.begins(Answer("codex/models", 200, ()))
    assert [line["headers"] for line in printed.lines] == [
        {"x-codex-primary-used-percent": "1"},
        {"x-codex-primary-used-percent": "2"},
    ]


def test_the_quota_is_printed_again_after_a_refusal(printed: Printed) -> None:
    """It shows that the account works again."""
    quota = ((b"x-codex-primary-used-percent", b"1"),)
    for status in (200, 429, 200, 200):
        printed.answer("codex/responses", status, quota)
    assert [line["broker"] for line in printed.lines] == ["quota", "answer", "quota"]


def test_a_refusal_of_a_token_that_was_renewed_meanwhile_is_marked(printed: Printed) -> None:
    """It is limited on its own: the refusal of the new token must not be lost."""
    for renewed in (True, False, True):
        answer = Answer("codex/responses", 401, ())
        answer.renewed = renewed
        printed.report.ends(answer)
    assert [line.get("renewed", False) for line in printed.lines] == [True, False]


def test_the_usage_is_printed_with_its_body(printed: Printed) -> None:
    """No other good answer is."""
    printed.answer("wham/usage", 200, body=b'{"used": 1}')
    printed.answer("codex/models", 200, body=b"{}")
    assert [(line["broker"], line["body"]) for line in printed.lines] == [("usage", '{"used": 1}')]


def test_a_line_has_limits(printed: Printed) -> None:
    """OpenAI's answer may be of any size."""
    headers = tuple((b"x-codex-%d" % number, b"a" * 10_000) for number in range(1000))
    answer = Answer("codex/responses", 500, headers)
    assert [answer.add(b"\x00" * 1000) for _ in range(100)].count(True) == BODY_KEPT // 1000
    printed.report.ends(answer)
    (line,) = printed.lines
    assert len(line["body"]) == BODY_KEPT
    assert len(json.dumps(line)) < 128 * 1024


def test_a_renewal_is_printed_with_codexs_report(printed: Printed) -> None:
    """As the check returns it."""
    printed.report.renewing()
    printed.report.renewed({"refreshed": True})
    assert printed.lines == [
        {"broker": "renewing", "at": 1000.0},
        {"broker": "renewed", "at": 1000.0, "report": {"refreshed": True}},
    ]
