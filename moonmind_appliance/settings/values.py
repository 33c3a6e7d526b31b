"""The values of settings: each parser reads a variable's text, or raises ValueError with the end of a sentence."""

import base64
import hmac
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from moonmind_appliance.in_container.egress_rules import rule
from moonmind_appliance.in_container.protected_patterns import MOST_PATTERNS, NONE_WORD, pattern_problem
from moonmind_appliance.models.repository import is_repository
from moonmind_appliance.units import size_setting

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SPANS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_SPAN = 3650 * 86400
_LONGEST_PREFIX = 100
# The Standard Webhooks specification's bounds of a signing secret, in bytes.
_SHORTEST_KEY, _LONGEST_KEY = 24, 64
_PREFIX = re.compile(r"(?!refs(?:/|$))PART(?:/PART)*".replace("PART", r"[\w+](?:[\w+=,@-]|\.(?!\.|lock(?:/|$)|/|$))*"))

_PRIVATE_KEY = re.compile(
    r"-----BEGIN ((?:RSA )?PRIVATE KEY)-----\n(?:[A-Za-z0-9+/=]{1,80}\n){1,200}-----END \1-----\n"
)


class Secret:
    """A value that only `reveal` returns: it never appears in a repr, a log line or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        # In constant time: the duration must not reveal how much of a guess is correct.
        return isinstance(other, Secret) and hmac.compare_digest(other._value.encode(), self._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


class ProxyUrl(Secret):
    """The URL of a proxy, with its port; it may contain a user and a password."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """The URL without user and password."""
        scheme, separator, rest = self.reveal().partition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}"

    @property
    def shown(self) -> str:
        """The URL for people: user and password are masked."""
        return self.address.replace("://", "://***@") if "@" in self.reveal() else self.address

    def credentials(self) -> dict[str, str]:
        """The values to redact, by name."""
        login = self.reveal().partition("://")[2].rpartition("@")[0]
        parts = {"password": unquote(login.partition(":")[2]), "login": unquote(login), "encoded login": login}
        return {name: part for name, part in parts.items() if part}


class PrivateKey(Secret):
    """A private key in PEM format."""

    __slots__ = ()

    @property
    def body(self) -> str:
        """The key itself, in base64 without line breaks: the value to redact, however it is wrapped."""
        return "".join(self.reveal().splitlines()[1:-1])


class WebhookUrl(Secret):
    """The URL of a webhook's receiver. Its path and its query are not shown: with many receivers they are the key."""

    __slots__ = ()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        scheme, separator, rest = self.reveal().partition("://")
        return f"{scheme}{separator}{re.split('[/?]', rest, maxsplit=1)[0]}"

    @property
    def shown(self) -> str:
        """The URL for people: path and query are masked."""
        return f"{self.origin}/***" if self.has_path else self.reveal()

    @property
    def has_path(self) -> bool:
        """Whether it has a path or a query."""
        return self.reveal().rstrip("/") != self.origin

    @property
    def on_this_machine(self) -> bool:
        """Whether the host is this machine's loopback interface."""
        return _is_local(urlsplit(self.reveal()).hostname or "", loopback_only=True)

    @property
    def sent_in_clear(self) -> bool:
        """Whether messages leave this machine without TLS."""
        return self.reveal().startswith("http:") and not self.on_this_machine


def text(raw: str) -> str:
    """Any text."""
    return raw


def secret_value(raw: str) -> Secret:
    """A secret on one line."""
    if "\n" in raw or "\r" in raw:
        raise ValueError("contains a line break")
    return Secret(raw)


def private_key(raw: str) -> PrivateKey:
    r"""A private RSA key in PEM format. The two characters \n count as a line break, for files with short lines."""
    pem = "".join(f"{line.strip()}\n" for line in raw.replace("\\n", "\n").splitlines())
    if not _PRIVATE_KEY.fullmatch(pem):
        raise ValueError("is not a private RSA key in PEM format, or has a password")
    return PrivateKey(pem)


def app_id(raw: str) -> str:
    """The id of a GitHub App, or its client id."""
    if not re.fullmatch(r"[0-9]{1,20}|Iv[A-Za-z0-9.]{8,60}", raw):
        raise ValueError("is neither the id of a GitHub App (a number) nor its client id")
    return raw


def flag(raw: str) -> bool:
    """True or false, in one of the usual words."""
    word = raw.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", raw) or not low <= int(raw) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(raw)

    return parse


def cpu_count(raw: str) -> float:
    """A number of CPUs, such as 0.5."""
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 256:  # noqa: PLR2004 - the bounds are said in the message
        raise ValueError("is not a number of CPUs from 0.1 to 256")
    return value


class Size(NamedTuple):
    """Parses a size of at least `low` bytes."""

    low: int

    def __call__(self, raw: str) -> int:
        """The number of bytes."""
        match = re.fullmatch(r"([0-9]{1,12})\s*([kmg]?)i?b?", raw.lower())
        if not match:
            raise ValueError("is not a size such as 512m or 4g")
        size = int(match[1]) * _SIZES[match[2]]
        if size < self.low:
            raise ValueError(f"is less than {size_setting(self.low)}")
        return size


def time_span(raw: str) -> int:
    """A time span in seconds, such as 90s or 7d."""
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhdw]?)", raw.lower())
    if not match or int(match[1]) == 0:
        raise ValueError("is not a time span such as 90s, 30m, 12h, 7d or 8w")
    seconds = int(match[1]) * _SPANS[match[2]]
    if seconds > _LONGEST_SPAN:
        raise ValueError("is longer than ten years")
    return seconds


def repositories(raw: str) -> tuple[str, ...]:
    """Repositories as owner/name, separated by commas."""
    slugs = tuple(part.strip() for part in raw.split(",") if part.strip())
    for slug in slugs:
        if not is_repository(slug):
            raise ValueError(f"contains {slug!r}, which is not a valid GitHub repository")
    return slugs


def comma_separated(raw: str) -> tuple[str, ...]:
    """Texts, separated by commas."""
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def egress_entries(raw: str) -> tuple[str, ...]:
    """Entries of the egress proxy's list, separated by commas or spaces."""
    entries = tuple(raw.replace(",", " ").split())
    for entry in entries:
        rule(entry)
    return entries


def path_patterns(raw: str) -> tuple[str, ...]:
    """Patterns of paths, separated by commas; `default` stands for the default patterns, `none` for no pattern."""
    words = comma_separated(raw)
    if not words:
        raise ValueError(f"contains no pattern; use {NONE_WORD} to allow all paths")
    if NONE_WORD in words and len(words) > 1:
        raise ValueError(f"contains {NONE_WORD} and other patterns")
    if len(words) > MOST_PATTERNS:
        raise ValueError(f"contains more than {MOST_PATTERNS} patterns")
    for word in words:
        if problem := pattern_problem(word):
            raise ValueError(f"contains {word!r}, which {problem}")
    return words


def networks(raw: str) -> tuple[str, ...]:
    """IP addresses and networks, separated by commas."""
    found = []
    for word in comma_separated(raw):
        try:
            found.append(str(ipaddress.ip_network(word)))
        except ValueError:
            raise ValueError(f"contains {word!r}, which is not an IP address or network such as 10.0.0.0/8") from None
    return tuple(found)


def sha256_hashes(raw: str) -> tuple[str, ...]:
    """SHA-256 hashes in hexadecimal, separated by commas or spaces; in lower case."""
    hashes = tuple(raw.replace(",", " ").lower().split())
    for number, value in enumerate(hashes, start=1):
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            # Do not show the entry: the operator may have entered the secret instead of its hash.
            raise ValueError(f"contains an entry (number {number}) that is not a SHA-256 hash of 64 hexadecimal digits")
    return hashes


def http_url(raw: str) -> str:
    """An address without user, query and fragment; without a slash at the end."""
    if not re.fullmatch(r"(?i:https?)://[^\s/?#@]+(/[^\s?#]*)?", raw):
        raise ValueError("is not an http(s) URL without user, query and fragment")
    _check_host_and_port(raw)
    scheme, separator, rest = raw.rstrip("/").partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def _check_host_and_port(url: str) -> None:
    """Raise ValueError if the URL has no host or an impossible port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has a host that is not valid, or a port that is not a number from 1 to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError("has no host, or port 0")


def proxy_url(raw: str) -> ProxyUrl:
    """The URL of an HTTP proxy; the default scheme is http, the default port the scheme's. No error quotes it."""
    url = raw if "://" in raw else f"http://{raw}"
    if not re.fullmatch(r"(?i:https?)://(?:[^\s/?#@]*@)?[^\s/?#@]+/?", url):
        raise ValueError(
            "is not the http(s) URL of a proxy; in a user or password, write special characters with %, such as %40"
        )
    _check_host_and_port(url)
    scheme, _, rest = url.rstrip("/").partition("://")
    scheme = scheme.lower()
    port = "" if urlsplit(url).port else f":{443 if scheme == 'https' else 80}"
    return ProxyUrl(f"{scheme}://{rest.rstrip(':')}{port}")


def receiver_url(raw: str) -> WebhookUrl:
    """The URL of a webhook's receiver, with its path and query unchanged; http only inside a private network."""
    if not re.fullmatch(r"(?i:https?)://[^\s/?#@\\]+(?:[/?][!-~]*)?", raw) or "#" in raw or not raw.isascii():
        raise ValueError("is not an http(s) URL in ASCII without user and fragment")
    _check_host_and_port(raw)
    parts = urlsplit(raw)
    if parts.scheme == "http" and not _is_local(parts.hostname or ""):
        raise ValueError("uses http for a host that may be reached over the internet")
    return WebhookUrl(f"{parts.scheme}{raw[len(parts.scheme) :]}")


def _is_local(host: str, *, loopback_only: bool = False) -> bool:
    """Whether the host is this machine or in a private network: by its address, or a name without dots."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" if loopback_only else "." not in host
    return address.is_loopback if loopback_only else address.is_loopback or address.is_private


def signing_secret(raw: str) -> Secret:
    """A signing secret of the Standard Webhooks specification. No error quotes it."""
    encoded = raw.removeprefix("whsec_")
    if encoded == raw:
        raise ValueError("does not begin with whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("is not base64 after whsec_") from None
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(f"contains {len(key)} bytes in base64, not {_SHORTEST_KEY} to {_LONGEST_KEY}")
    return secret_value(raw)


def absolute_path(raw: str) -> Path:
    """A path; `~` is a home directory."""
    try:
        return Path(raw).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("names the home directory of an unknown user") from error


def author_value(raw: str) -> str:
    """A name or an address for Git commits."""
    if not re.search(r"\w", raw) or re.search(r"[<>\x00-\x1f\x7f]", raw):
        raise ValueError(
            "is not a valid Git author value: it needs a letter or digit, and no <, > or control characters"
        )
    return raw


def ref_prefix(raw: str) -> str:
    """The beginning of a branch name, without a final slash; the rule is stricter than git-check-ref-format(1)."""
    prefix = raw.removesuffix("/")
    if len(prefix) > _LONGEST_PREFIX or not _PREFIX.fullmatch(prefix):
        raise ValueError(
            "is not the beginning of a Git branch name (letters, digits, and . _ + = , @ - inside, parts separated by "
            f"slashes, at most {_LONGEST_PREFIX} characters)"
        )
    return prefix


def existing_file(raw: str) -> Path:
    """The path of a file that exists."""
    path = absolute_path(raw)
    if not path.is_file():
        raise ValueError(f"names {path}, which is not a file")
    return path


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser of one of these words, in any case."""

    def parse(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError(f"is not one of: {', '.join(choices)}")
        return raw.lower()

    return parse


def backend_name(raw: str) -> str:
    """codex, or spec-kit:INTEGRATION."""
    if not re.fullmatch(r"codex|spec-kit:[a-z0-9][a-z0-9-]{0,40}", raw):
        raise ValueError("is neither codex nor spec-kit:INTEGRATION")
    return raw


def docker_name(raw: str) -> str:
    """A name of a Docker object, or the beginning of one."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,60}", raw):
        raise ValueError("is not a Docker name (letters, digits, dot, dash, underscore)")
    return raw
