"""Secrets are removed from all stored bytes."""

import base64
import hashlib
import itertools
import json
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.redaction import Finding, Redactor, encodings
from tests.known_tokens import FORMS, github_token
from tests.known_tokens import jwt as json_web_token

SECRET = "Tk9-very.secret/value+of=an:account"
GITHUB = "ghp_" + "a1B2" * 9


class Kept:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps({"a": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x-access-token:" + SECRET.encode()).decode(),
        base64.b64encode(b"u:" + SECRET.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"12" + SECRET.encode()).decode(),
        SECRET.encode().hex(),
        "Tk9-very.secret%2Fvalue%2Bof%3Dan%3Aaccount",
    ],
)
def test_a_known_value_is_found_in_its_common_encodings(text):
    """Plain, JSON, percent, hexadecimal, base64 at each alignment."""
    redactor = Redactor({"canary": SECRET})
    kept = redactor.redact(text.encode())
    assert b"[redacted:canary]" in kept
    assert not any(form in kept for form in encodings(SECRET))


def test_wrapped_base64_is_found():
    """`base64` breaks lines at 76 characters; in a JSON log line the break is a backslash and n."""
    value = "".join(chr(33 + i % 90) for i in range(150))
    wrapped = base64.encodebytes(value.encode())
    redactor = Redactor({"canary": value})
    assert b"[redacted:canary]" in redactor.redact(wrapped)
    assert b"[redacted:canary]" in redactor.redact(json.dumps(wrapped.decode()).encode())


@pytest.mark.parametrize("value", ["1", "true", "changeme", "aaaaaaaaaaaa", "short"])
def test_short_and_trivial_values_are_not_redacted(value):
    """A secret setting of "1" must not redact every digit."""
    text = f"value {value} stays 1 true".encode()
    assert Redactor({"x": value}).redact(text) == text


@given(cuts=st.lists(st.integers(0, 400), max_size=12), newline=st.booleans())
def test_a_secret_cut_by_chunks_is_still_found(cuts, newline):
    """For any chunks, the stream's output equals that of the whole."""
    redactor = Redactor({"canary": SECRET})
    whole = ("a " * 40 + SECRET + ("\n" if newline else " ") + GITHUB + "\ntail " + SECRET).encode()
    kept = Kept()
    stream = redactor.stream(kept)
    edges = sorted({0, len(whole), *(c for c in cuts if c < len(whole))})
    for start, end in itertools.pairwise(edges):
        stream.write(whole[start:end])
    stream.flush()
    assert kept.data == redactor.redact(whole)
    assert SECRET.encode() not in kept.data
    assert GITHUB.encode() not in kept.data


def test_an_endless_line_is_passed_on_without_losing_a_secret():
    """A line of megabytes is not kept in memory, and a secret at any position in it is found."""
    redactor = Redactor({"canary": SECRET})
    kept = Kept()
    stream = redactor.stream(kept)
    for _ in range(40):
        stream.write(b"x" * 50_000 + b" " + SECRET.encode())
    assert len(kept.data) > 1_000_000
    stream.flush()
    assert SECRET.encode() not in kept.data
    assert kept.data.count(b"[redacted:canary]") == 40


TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0" + "xA1b2" * 30 + ".c2lnbmF0dXJl"
SHARD = "shard 0"


def jwt(number: int) -> str:
    return f"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0{number:06}" + "xA1b2" * 10 + ".c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "word",
    [
        "the user",
        "specification",
        "As a user, I want to sign in",
        "https://github.com/acme/shop/issues/12",
        "specs/001-dark-mode/spec.md and plan.md",
        "moonmind_appliance.phases.pull_request_text",
        "0123456789abcdef0123456789abcdef01234567",
        "6f1c2d3e-0000-4000-8000-000000000000-6f1c2d3e",
        "function_name_that_is_quite_long_and_in_every_file",
        "A" * 60,
        "sk-short",
        "rt_" + "a" * 5,
        " ".join(["sk-" + "A1b2C3d4" * 6, "the user"]),
        "eyJhbGciOiJub25lIn0.not-a-token.at-all",
        "",
        "x" * 200_000,
    ],
)
def test_a_login_file_adds_no_ordinary_words(word):
    """An agent can write anything into its login file; other users' texts and changes are not affected."""
    redactor = Redactor()
    redactor.learn(SHARD, {"api_key": word, "access_token": word})
    text = f"before {word} after {word.upper()}".encode()
    known = Redactor()
    assert redactor.redact(text) == known.redact(text)
    assert redactor.find(text) == known.find(text)
    assert redactor.kinds() == []


@pytest.mark.parametrize("form", ["JWT RS256", "JWT without expiry", "OpenAI refresh", "OpenAI project"])
@pytest.mark.parametrize(
    "encode", [str.encode, lambda v: base64.b64encode(v.encode()), lambda v: v.encode().hex().encode()]
)
def test_a_login_files_tokens_are_found(form, encode):
    """In all encodings; they stop a push, and the operator's list of hashes does not change that."""
    token = FORMS[form][1](Random(form))  # noqa: S311
    redactor = Redactor()
    redactor.learn(SHARD, {"access_token": token})
    data = b"x " + encode(token) + b" y"
    assert b"[redacted:shard 0 access_token]" in redactor.redact(data)
    allowed = [hashlib.sha256(value).hexdigest() for value in (token.encode(), encode(token), data)]
    assert redactor.find(data, allowed) == [Finding("shard 0 access_token", 2)]


@pytest.mark.parametrize("claims", [{"sub": "1", "email": "test@example.com"}, {"sub": "1", "exp": 1300819380}])
def test_a_login_files_json_web_token_is_found_whatever_it_says(claims):
    """Also one of an account named `test`, or one that has expired."""
    token = json_web_token(Random(1), claims)  # noqa: S311
    redactor = Redactor()
    assert redactor.find(token.encode()) == []
    redactor.learn(SHARD, {"access_token": token})
    assert redactor.find(token.encode()) == [Finding("shard 0 access_token", 0)]


def test_words_with_the_form_of_a_token_refuse_nothing():
    """An agent could write them into its login file, so that other users' texts are refused."""
    redactor = Redactor()
    for word in ("rt_Hw.Interrupt.Thread.Switch.Handler.For.The.Cortex.M7", "ghp_" + "x" * 36):
        redactor.learn(SHARD, {"access_token": word})
        assert redactor.find(f"call {word}".encode()) == []


def test_the_operator_allows_a_value_by_its_hash():
    """Of that value only; never of a secret that the appliance knows."""
    first, second = github_token("Zk3vQ8sLw0Xb7TnEr5YpUc2HdGa9Mj"), github_token("Ua7mC1xRq4Ke9WfLb2ZhTo6NsYd8Vi")
    text = f"{first} {second}".encode()
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in (first, second)]
    assert Redactor().find(text) == [Finding("GitHub token", 0, hashes[0]), Finding("GitHub token", 41, hashes[1])]
    assert Redactor().find(text, hashes[:1]) == [Finding("GitHub token", 41, hashes[1])]
    assert Redactor({"GITHUB_TOKEN": first}).find(text, hashes) == [Finding("GITHUB_TOKEN", 0)]
    assert b"[redacted:GitHub token]" in Redactor().redact(text)


def test_a_token_of_an_unknown_issuer_is_redacted_but_refuses_nothing():
    """It could be a checksum that an agent copied from another user's lock file."""
    checksum = "sha512-" + base64.b64encode(bytes(range(60, 124))).decode().replace("/", "_")
    redactor = Redactor()
    redactor.learn(SHARD, {"refresh_token": checksum})
    assert redactor.redact(checksum.encode()) == b"[redacted:shard 0 refresh_token]"
    assert redactor.find(checksum.encode()) == []


def test_invented_tokens_do_not_displace_the_real_ones():
    """Neither those of the sign-in nor the first ones in the file; the number of stored values is limited."""
    redactor = Redactor()
    first = "rt_first" + "A1b2C3d4" * 6
    redactor.learn(SHARD, {"refresh_token": first})
    redactor.learn(SHARD, {"access_token": TOKEN}, signed_in=True)
    for number in range(500):
        redactor.learn(SHARD, {"access_token": jwt(number), "refresh_token": f"rt_{number:03}" + "A1b2C3d4" * 6})
    for real in (TOKEN, first):
        assert b"[redacted:shard 0 " in redactor.redact(base64.b64encode(real.encode()))
    assert b"[redacted:shard 0 " in redactor.redact(base64.b64encode(jwt(499).encode()))
    assert len(redactor._plain) + len(redactor._wrapped) < 400


def test_invented_kinds_are_limited():
    """For any number of names in the file."""
    redactor = Redactor()
    for number in range(300):
        redactor.learn(SHARD, {f"kind {number}": jwt(number)})
    assert len(redactor.kinds()) == 8


def test_a_shards_file_affects_no_other_secrets():
    """Neither the operator's nor another shard's, also when it is forgotten."""
    redactor = Redactor({"GITHUB_TOKEN": SECRET})
    redactor.learn("shard 1", {"access_token": TOKEN}, signed_in=True)
    for number in range(50):
        redactor.learn(SHARD, {"GITHUB_TOKEN": jwt(number), "access_token": jwt(number)})
    redactor.forget(SHARD)
    assert redactor.kinds() == ["GITHUB_TOKEN", "shard 1 access_token"]
    assert redactor.redact(SECRET.encode()) == b"[redacted:GITHUB_TOKEN]"
    assert redactor.redact(base64.b64encode(TOKEN.encode())).startswith(b"[redacted:shard 1 access_token]")


def test_what_was_learnt_is_forgotten_with_the_login():
    """After a sign-out; safe twice."""
    redactor = Redactor()
    redactor.learn(SHARD, {"access_token": TOKEN})
    redactor.forget(SHARD)
    redactor.forget(SHARD)
    assert redactor.kinds() == []
    assert redactor.redact(TOKEN.encode().hex().encode()) == TOKEN.encode().hex().encode()


def test_a_repeating_value_takes_no_quadratic_time_to_find():
    """Overlapping matches of a value are one span."""
    redactor = Redactor({"canary": "abcd" * 3})
    assert redactor.redact(b"abcd" * 6 + b"abcd") == b"[redacted:canary]" * 2 + b"abcd"


@pytest.mark.parametrize("size", [300_000, 2_000_000])
def test_a_secret_anywhere_in_a_long_line_is_found(size):
    """Also across the boundaries of the search windows."""
    redactor = Redactor({"canary": SECRET})
    for edge in range(256 * 1024, size, 256 * 1024):
        for shift in (-40, -17, -1, 0, 1):
            data = bytearray(b"x " * (size // 2))
            data[edge + shift : edge + shift + len(SECRET)] = SECRET.encode()
            after = edge + shift + 100
            data[after : after + len(GITHUB) + 2] = f" {GITHUB} ".encode()
            redacted = redactor.redact(bytes(data))
            assert b"[redacted:canary]" in redacted
            assert b"[redacted:GitHub token]" in redacted


def test_redacting_twice_changes_nothing_more():
    """A mark is not a secret."""
    redactor = Redactor({"canary": SECRET})
    text = f'Authorization: Bearer {SECRET} https://a:{SECRET}@host {GITHUB} "id_token": "{SECRET}"'.encode()
    once = redactor.redact(text)
    assert redactor.redact(once) == once


def test_values_of_a_kind_that_are_replaced_are_forgotten() -> None:
    """A GitHub App makes a new JWT every few minutes: the memory of a process must not grow with them."""
    redactor = Redactor()
    for number in range(100):
        redactor.learn("GitHub App", {"JWT": f"{number:03}-{SECRET}"}, signed_in=True)
    known = redactor._learnt["GitHub App"]["JWT"]
    assert len(known.certain) == len(known.signed_in) < 10
    assert f"099-{SECRET}" in known.certain


def test_a_sign_in_adds_keys_of_any_form() -> None:
    """The operator wrote that file: its key is a secret and a finding, also without a known form."""
    key = "key-of-the-operator"
    redactor = Redactor()
    redactor.learn("shard 0", {"VENDOR_API_KEY": key})
    assert redactor.redact_text(f"using {key}") == f"using {key}"
    redactor.learn("shard 0", {"VENDOR_API_KEY": key}, signed_in=True)
    assert key not in redactor.redact_text(f"using {key}")
    assert redactor.find(f"using {key}".encode())


def test_a_text_that_was_harmless_is_redacted_once_its_value_is_known() -> None:
    """Short harmless texts are remembered until a value is added."""
    redactor = Redactor()
    value = "correct-horse-battery"
    for _ in range(2):
        assert redactor.redact_text(value) == value
    redactor.add("TOKEN", value)
    assert redactor.redact_text(value) == "[redacted:TOKEN]"
    redactor.learn("shard 0", {"key": "another-horse-battery"}, signed_in=True)
    assert redactor.redact_text("another-horse-battery") == "[redacted:shard 0 key]"
    redactor.forget("shard 0")
    assert redactor.redact_text("another-horse-battery") == "another-horse-battery"


def test_a_search_that_began_before_a_value_was_added_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread may end its search for the old values after another one has added a value."""
    redactor = Redactor()
    value, redact = "correct-horse-battery", redactor.redact

    def adds_meanwhile(data: bytes) -> bytes:
        redacted = redact(data)
        redactor.add("TOKEN", value)
        return redacted

    monkeypatch.setattr(redactor, "redact", adds_meanwhile)
    assert redactor.redact_text(value) == value
    monkeypatch.undo()
    assert redactor.redact_text(value) == "[redacted:TOKEN]"


def test_few_and_short_texts_are_remembered() -> None:
    """Callers and agents choose texts: memory must not grow with them."""
    redactor = Redactor()
    for number in range(20_000):
        assert redactor.redact_text(f"text {number}") == f"text {number}"
    redactor.redact_text("long " * 100)
    assert len(redactor._clean) <= 4096
    assert max(map(len, redactor._clean)) <= 100


def test_a_prepared_redactor_has_loaded_the_library() -> None:
    """In a process of its own: without it, a process that redacts short texts does not load it."""
    program = (
        "import sys; from moonmind_appliance.redaction import Redactor; redactor = Redactor();"
        "redactor.redact_text('short'); before = 'hyperscan' in sys.modules; redactor.prepare();"
        "print(before, 'hyperscan' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
