"""The bytes of a Range header: RFC 9110's cases as a table."""

import pytest

from moonmind_appliance.api.ranges import ByteRange, Unsatisfiable, is_current, wanted_range

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-4", (0, 4)),
        ("bytes=5-", (5, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-30", (0, 9)),
        ("bytes=9-9", (9, 9)),
        ("bytes=2-99999999999999999", (2, 9)),
        ("bytes = 0 - 4", (0, 4)),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=1-" + "9" * 40, (1, 9)),
        (f"bytes=1-{2**63}", (1, 9)),
        ("bytes=1-" + "9" * 5000, (1, 9)),
        ("bytes=" + "0" * 5000 + "1-" + "0" * 5000 + "2", (1, 2)),
        ("bytes=-" + "9" * 5000, (0, 9)),
        ("bytes=" + "9" * 5000 + "-", Unsatisfiable),
        ("items=0-4", None),
        ("bytes=10-", Unsatisfiable),
        ("bytes=10-12", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, expected: tuple[int, int] | type[Exception] | None) -> None:
    """One valid range is served; a malformed or multiple one gets the whole; one that begins after the end is 416."""
    if expected is Unsatisfiable:
        with pytest.raises(Unsatisfiable):
            wanted_range(header, None, size=10, etag=TAG)
    else:
        assert wanted_range(header, None, size=10, etag=TAG) == expected


def test_an_empty_content_has_no_range() -> None:
    """Any range of an empty content is 416."""
    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        with pytest.raises(Unsatisfiable):
            wanted_range(header, None, size=0, etag=TAG)


@pytest.mark.parametrize(
    ("if_range", "etag", "expected"),
    [
        (TAG, TAG, ByteRange(0, 4)),
        ('"other"', TAG, None),
        ('W/"abc"', 'W/"abc"', None),
        ("Mon, 01 Jan 2026", TAG, None),
    ],
)
def test_if_range_matches_only_the_same_strong_tag(if_range: str, etag: str, expected: ByteRange | None) -> None:
    """Otherwise the whole content is sent: clients must not join parts of different contents."""
    assert wanted_range("bytes=0-4", if_range, size=10, etag=etag) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, False), (TAG, True), ('"x", "abc"', True), ('W/"abc"', True), ("*", True), ('"x"', False), ("", False)],
)
def test_if_none_match_compares_weakly(header: str | None, *, expected: bool) -> None:
    """Any of the given tags matches, and `*` matches any content."""
    assert is_current(header, TAG) is expected
