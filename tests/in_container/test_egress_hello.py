"""The server name in the first bytes of a TLS connection."""

import random
import ssl

import pytest

from moonmind_appliance.in_container.egress_hello import HELLO_LIMIT, NotThisHost, check_hello


def hello(host: str | None, *, ca: bool = True) -> bytes:
    """A real ClientHello of OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def with_extension(data: bytes, kind: int, body: bytes) -> bytes:
    """The ClientHello with one more extension at its end."""
    more = kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
    message = bytearray(data[5:] + more)
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at : at + 2], "big")
    at += 1 + message[at]
    message[at : at + 2] = (int.from_bytes(message[at : at + 2], "big") + len(more)).to_bytes(2, "big")
    message[1:4] = (len(message) - 4).to_bytes(3, "big")
    return data[:3] + len(message).to_bytes(2, "big") + bytes(message)


def in_records(data: bytes, size: int) -> bytes:
    """The same message in records of that size."""
    message = data[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def test_the_hello_for_the_host_passes() -> None:
    """In upper and lower case, and in several records. An incomplete one needs more bytes."""
    data = hello("ChatGPT.com")
    assert check_hello(data, "chatgpt.com")
    assert check_hello(in_records(data, 7), "chatgpt.com")
    assert check_hello(data + b"anything", "chatgpt.com")
    assert not any(check_hello(data[:size], "chatgpt.com") for size in range(len(data)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (hello("evil.example"), "TLS for another host: evil.example"),
        (hello("chatgpt.com.evil.example"), "TLS for another host"),
        (hello("ghs_Secret.evil.example"), "TLS for another host: ghs_Secret.evil.example$"),
        (hello("a" * 60 + ".ghs_" + "x" * 50 + ".example"), r"TLS for another host: \(123 characters\)$"),
        (hello("evil.example").replace(b"evil.", b"\x1bvil\xff"), r"TLS for another host: \\x1bvil\\xffexample$"),
        (hello(None), "TLS without a host name"),
        (with_extension(hello("chatgpt.com"), 0xFE0D, b"\0\0\0\0"), "TLS with an encrypted host name"),
        (with_extension(hello("chatgpt.com"), 0, b"\0\x0c\0\0\x09evil.test"), "malformed"),
        (b"GET / HTTP/1.1\r\n", "not TLS"),
        (b"SSH-2.0-x", "not TLS"),
        (b"\x15\x03\x01\x00\x02\x01\x00", "not TLS"),
        (b"\x16\x02\x01\x00\x02\x01\x00", "not TLS"),
        (b"\x16\x03\x01\x00\x00", "malformed"),
        (b"\x16\x03\x01\x00\x01\x02", "malformed"),
        (b"\x16\x03\x01\x50\x00", "malformed"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "malformed"),
        (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"a" * HELLO_LIMIT, "not TLS|too large|malformed"),
    ],
)
def test_everything_else_ends_the_connection(data: bytes, why: str) -> None:
    """Another host's name, no name, an encrypted one, two names, and bytes that are not TLS.

    Another name is shown as it was sent, so that a secret in it is redacted; no part of a long one is shown.
    """
    with pytest.raises(NotThisHost, match=why):
        check_hello(data, "chatgpt.com")


def test_damaged_hellos_never_pass_for_another_host() -> None:
    """Each result is a refusal, a request for more bytes, or the expected name in its place."""
    chance = random.Random(47)  # noqa: S311 - reproducible, not secret
    good = hello("chatgpt.com")
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            passed = check_hello(bytes(data), "chatgpt.com")
        except NotThisHost:
            continue
        assert not passed or b"chatgpt.com" in bytes(data).lower()
