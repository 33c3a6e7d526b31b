"""The head of a request to the egress proxy: one form is accepted, everything else is refused with a status."""

import random

import pytest

from moonmind_appliance.in_container.egress_request import (
    LONGEST_SHOWN,
    MOST_HEADERS,
    Refused,
    canonical_host,
    parse_head,
    printable,
)


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (b"CONNECT chatgpt.com:443 HTTP/1.1\r\nHost: chatgpt.com:443", ("chatgpt.com", 443)),
        (b"CONNECT ChatGPT.com:443 HTTP/1.1\r\nHost: chatgpt.COM", ("chatgpt.com", 443)),
        (b"CONNECT packages.example.com:8443 HTTP/1.0", ("packages.example.com", 8443)),
        (b"CONNECT a_b-c.x1:1 HTTP/1.1\r\nUser-Agent: a b\r\nproxy-connection:Keep-Alive", ("a_b-c.x1", 1)),
        (b"CONNECT a.b:443 HTTP/1.1\r\nContent-Length: 0", ("a.b", 443)),
        (b"CONNECT 10.0.0.5:443 HTTP/1.1", ("10.0.0.5", 443)),
        (b"CONNECT [2001:DB8::0:1]:443 HTTP/1.1", ("[2001:db8::1]", 443)),
    ],
)
def test_requests_of_usual_clients_are_accepted(head: bytes, target: tuple[str, int]) -> None:
    """The host is in lower case, an address in its canonical form."""
    assert parse_head(head) == target


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"CONNECT", 400),
        (b"CONNECT a.b:443", 400),
        (b"CONNECT a.b:443 HTTP/2", 400),
        (b"CONNECT a.b:443 HTTP/1.2", 400),
        (b"CONNECT  a.b:443 HTTP/1.1", 400),
        (b"CONNECT a.b:443  HTTP/1.1", 400),
        (b"CONNECT\ta.b:443 HTTP/1.1", 400),
        (b" CONNECT a.b:443 HTTP/1.1", 400),
        (b"CONNECT a.b:443 HTTP/1.1 ", 400),
        (b"CONNECT a.b:443 http/1.1", 400),
        (b"connect a.b:443 HTTP/1.1", 403),
        (b"GET http://a.b/ HTTP/1.1", 403),
        (b"POST / HTTP/1.1", 403),
        (b"PRI * HTTP/1.1", 403),
        (b"CONNECT a.b HTTP/1.1", 400),
        (b"CONNECT :443 HTTP/1.1", 400),
        (b"CONNECT a.b: HTTP/1.1", 400),
        (b"CONNECT a.b:0 HTTP/1.1", 400),
        (b"CONNECT a.b:0443 HTTP/1.1", 400),
        (b"CONNECT a.b:+443 HTTP/1.1", 400),
        (b"CONNECT a.b:65536 HTTP/1.1", 400),
        (b"CONNECT a.b:443443 HTTP/1.1", 400),
        (b"CONNECT a.b:https HTTP/1.1", 400),
        (b"CONNECT a.b:443:443 HTTP/1.1", 400),
        (b"CONNECT http://a.b:443 HTTP/1.1", 400),
        (b"CONNECT a.b:443/ HTTP/1.1", 400),
        (b"CONNECT a.b:443?x HTTP/1.1", 400),
        (b"CONNECT a.b:443#x HTTP/1.1", 400),
        (b"CONNECT user@a.b:443 HTTP/1.1", 400),
        (b"CONNECT user:word@a.b:443 HTTP/1.1", 400),
        (b"CONNECT a.b\\@c.d:443 HTTP/1.1", 400),
        (b"CONNECT a.b.:443 HTTP/1.1", 400),
        (b"CONNECT .a.b:443 HTTP/1.1", 400),
        (b"CONNECT a..b:443 HTTP/1.1", 400),
        (b"CONNECT -a.b:443 HTTP/1.1", 400),
        (b"CONNECT *.b:443 HTTP/1.1", 400),
        (b"CONNECT a%2eb:443 HTTP/1.1", 400),
        (b"CONNECT a%00.b:443 HTTP/1.1", 400),
        ("CONNECT ä.b:443 HTTP/1.1".encode(), 400),
        ("CONNECT a\uff0eb:443 HTTP/1.1".encode(), 400),
        (b"CONNECT a,c.d:443 HTTP/1.1", 400),
        (b"CONNECT " + b"a" * 64 + b".b:443 HTTP/1.1", 400),
        (b"CONNECT " + b"a." * 130 + b"b:443 HTTP/1.1", 400),
        (b"CONNECT 127.1:443 HTTP/1.1", 400),
        (b"CONNECT 2130706433:443 HTTP/1.1", 400),
        (b"CONNECT 0x7f.0.0.1:443 HTTP/1.1", 400),
        (b"CONNECT 0177.0.0.1:443 HTTP/1.1", 400),
        (b"CONNECT 1.2.3.4.5:443 HTTP/1.1", 400),
        (b"CONNECT a.0x7f:443 HTTP/1.1", 400),
        (b"CONNECT 256.1.1.1:443 HTTP/1.1", 400),
        (b"CONNECT ::1:443 HTTP/1.1", 400),
        (b"CONNECT [::1:443 HTTP/1.1", 400),
        (b"CONNECT [::1]443 HTTP/1.1", 400),
        (b"CONNECT [fe80::1%25eth0]:443 HTTP/1.1", 400),
        (b"CONNECT [127.0.0.1]:443 HTTP/1.1", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nHost: c.d:443", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\nHost: a.b:443", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:80", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nHost : a.b:443", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\n Host: a.b:443", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nX: 1\r\n folded", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nX: \xff", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nX: a\rb", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nX", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\n: x", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nContent-Length: 5", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nContent-Length: 0, 5", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\nTransfer-Encoding: chunked", 400),
        (b"CONNECT a.b:443 HTTP/1.1\r\ntransfer-encoding: identity", 400),
        (b"CONNECT a.b:443 HTTP/1.1" + b"\r\nX: 1" * (MOST_HEADERS + 1), 431),
        (b"CONNECT a.b:443 HTTP/1.1\r\n\r\nCONNECT c.d:443 HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_everything_else_is_refused(head: bytes, status: int) -> None:
    """Other methods are forbidden, other forms are wrong; nothing is corrected."""
    with pytest.raises(Refused) as refused:
        parse_head(head)
    assert refused.value.status == status
    assert refused.value.shown.isascii()
    assert refused.value.shown.isprintable()


def test_random_heads_are_refused_or_have_a_plain_host() -> None:
    """Whatever is sent, the result is a host of the allowed characters and a port, or a refusal."""
    chance = random.Random(47)  # noqa: S311 - reproducible, not secret
    pieces = b"CONNECT| |a.b|:|443|HTTP/1.1|\r\n|\n|\0|[::1]|%|@|Host: ".split(b"|")
    accepted = 0
    for _ in range(20_000):
        head = b"".join(chance.choice(pieces) for _ in range(chance.randint(0, 14)))
        if chance.random() < 0.5:
            head = bytearray(b"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443")  # type: ignore[assignment]
            for _ in range(chance.randint(0, 2)):
                head[chance.randrange(len(head))] = chance.randrange(256)  # type: ignore[index]
            head = bytes(head)
        try:
            host, port = parse_head(head)
        except Refused:
            continue
        accepted += 1
        assert canonical_host(host) == host
        assert 1 <= port <= 65535
    assert accepted > 1000


def test_no_part_of_a_secret_in_a_long_target_is_shown() -> None:
    """The padding puts the limit into the secret."""
    secret = "ghs_" + "x" * 60
    for head in (f"CONNECT {'a' * 80}{secret}:443:1 HTTP/1.1", f"GET http://{'a' * 80}{secret}/ HTTP/1.1"):
        with pytest.raises(Refused) as refused:
            parse_head(head.encode())
        assert "ghs_" not in refused.value.shown


def test_a_target_is_shown_as_short_printable_text() -> None:
    """Of one that is too long only the number of characters: part of a secret would not be redacted."""
    assert printable(b"a\x1b[31m\xff") == "a\\x1b[31m\\xff"
    for raw in (b"\0" * 500, b"a" * 500, b"\0" * LONGEST_SHOWN, b"a" * (LONGEST_SHOWN + 1)):
        assert printable(raw) == f"({len(raw)} characters)"
    assert printable(b"a" * LONGEST_SHOWN) == "a" * LONGEST_SHOWN
