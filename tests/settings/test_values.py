"""Accepted and refused values of settings."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.errors import SettingProblem, SettingsError
from moonmind_appliance.settings import ProxyUrl, Secret, WebhookUrl, load, options
from tests.known_tokens import private_key

PEM = private_key(Random(1))  # noqa: S311 - no secret
NEEDS = {"GITHUB_APP_ID": {"GITHUB_APP_PRIVATE_KEY": PEM}}
"""Settings that another one needs."""

GOOD: dict[str, dict[str, object]] = {
    "MOONMIND_DATA_DIR": {"/srv/moonmind": Path("/srv/moonmind"), "rel": Path("rel").absolute()},
    "MOONMIND_PORT": {"1": 1, "65535": 65535, " 8080 ": 8080, "+80": 80},
    "MOONMIND_LOG_FORMAT": {"json": "json", "TEXT": "text"},
    "AUTH_PROVIDER": {"local": "local", "Local": "local"},
    "OIDC_INTERNAL_URL": {"http://keycloak:8080": "http://keycloak:8080", "https://h/auth/": "https://h/auth"},
    "GITHUB_HTTPS_PROXY": {
        "http://proxy:3128/": ProxyUrl("http://proxy:3128"),
        "proxy:3128": ProxyUrl("http://proxy:3128"),
        "HTTPS://proxy": ProxyUrl("https://proxy:443"),
        "http://ann:p%40ss@proxy": ProxyUrl("http://ann:p%40ss@proxy:80"),
        "http://[::1]:8": ProxyUrl("http://[::1]:8"),
    },
    "GITHUB_APP_ID": {"4711": "4711", " Iv23liAbCdEf0123 ": "Iv23liAbCdEf0123"},
    "AGENT_HTTPS_PROXY": {"http://u:p@proxy:3128": ProxyUrl("http://u:p@proxy:3128")},
    "AGENT_EGRESS_ALLOW": {
        "packages.example.com, *.example.com:8443": ("packages.example.com", "*.example.com:8443"),
        "10.0.0.5 [fd00::5]:8443": ("10.0.0.5", "[fd00::5]:8443"),
    },
    "TRUSTED_PROXIES": {
        "127.0.0.1": ("127.0.0.1/32",),
        "10.0.0.0/8, fd00::/8 ,::1": ("10.0.0.0/8", "fd00::/8", "::1/128"),
    },
    "GITHUB_API_URL": {
        "https://ghe.example.invalid/api/v3": "https://ghe.example.invalid/api/v3",
        "http://[::1]:80": "http://[::1]:80",
    },
    "BRANCH_PREFIX": {"bot": "bot", "team/größe.v2/": "team/größe.v2", "a_b-c+d@e": "a_b-c+d@e"},
    "SPEC_WORKFLOW_GITHUB_REPOSITORY": {
        "a/b": ("a/b",),
        " a/b , C-d/e.f_g ,": ("a/b", "C-d/e.f_g"),
        "mona_octo/shop": ("mona_octo/shop",),
    },
    "SPEC_WORKFLOW_TEST_MODE": {
        "true": True,
        "1": True,
        "Yes": True,
        "on": True,
        "false": False,
        "0": False,
        "NO": False,
        "off": False,
    },
    "PULL_REQUEST_LABELS": {"a": ("a",), "spec kit, b": ("spec kit", "b")},
    "PROTECTED_PATHS": {
        "default": ("default",),
        "none": ("none",),
        " default, Makefile ,!.vscode/settings.json": ("default", "Makefile", "!.vscode/settings.json"),
    },
    "GIT_AUTHOR_NAME": {"Ünal Bot": "Ünal Bot"},
    "CLONE_DEPTH": {"0": 0, "1000000": 1_000_000},
    "NOT_SECRET_SHA256": {
        "A" * 64: ("a" * 64,),
        f"{'0' * 64}, {'1' * 64}  {'2' * 64}": ("0" * 64, "1" * 64, "2" * 64),
    },
    "MAX_CHANGE_BYTES": {"1024": 1024, "10m": 10 * 1024**2, "1G": 1024**3, "5 MiB": 5 * 1024**2, "2kb": 2048},
    "MAX_WORKSPACE_BYTES": {"1m": 1024**2, "10g": 10 * 1024**3},
    "MAX_WORKSPACE_FILES": {"1000": 1000, "1000000": 1_000_000},
    "MAX_KEPT_WORKSPACE_BYTES": {"0": 0, "1g": 1024**3},
    "MAX_LOG_BYTES": {"1k": 1024, "64m": 64 * 1024**2},
    "MAX_RUN_LOG_BYTES": {"1k": 1024, "512m": 512 * 1024**2},
    "MIN_FREE_DISK": {"0": 0, "1g": 1024**3},
    "CONTAINER_MEMORY": {"64m": 64 * 1024**2, "4g": 4 * 1024**3},
    "CONTAINER_CPUS": {"0.5": 0.5, "2": 2.0, "256": 256.0},
    "CONTAINER_PIDS": {"16": 16},
    "CODEX_SHARDS": {"1": 1, "64": 64},
    "CODEX_VOLUME_PREFIX": {"codex_auth_": "codex_auth_", "a.b-c": "a.b-c"},
    "PHASE_TIME_LIMIT": {"90m": 5400, "2h": 7200, "7d": 604_800, "3600": 3600, "900 S": 900},
    "ARTIFACT_RETENTION": {"3650d": 3650 * 86400, "8w": 56 * 86400},
    "TEXT_RETENTION": {"": None, "30d": 30 * 86400},
    "WEBHOOK_SECRET": {
        f"whsec_{'A' * 32}": Secret(f"whsec_{'A' * 32}"),
        f"whsec_{'+' * 85}A==": Secret(f"whsec_{'+' * 85}A=="),
        f"whsec_{'A' * 43}": Secret(f"whsec_{'A' * 43}"),
    },
}

BAD: dict[str, list[str]] = {
    "TRUSTED_PROXIES": ["proxy", "10.0.0.1/8", "*", "10.0.0.0/33"],
    "PROTECTED_PATHS": [
        ",",
        "none,default",
        "*",
        "../x",
        "a\\b",
        "default,a//b",
        ",".join(f"x{n}" for n in range(1001)),
    ],
    "MOONMIND_DATA_DIR": ["~nobody-of-that-name/x"],
    "MOONMIND_PORT": ["0", "65536", "80.0", "http", "1e3", "-1", "٣", "9" * 20],
    "MOONMIND_LOG_FORMAT": ["xml"],
    "AUTH_PROVIDER": ["none", "keycloaks"],
    "OIDC_ISSUER_URL": [
        "keycloak:8080",
        "ftp://h",
        "https://",
        "https://user:pw@h",
        "https://h/?q",
        "https://h/#f",
        "https://h a",
        "https://:80",
        "https://h:0",
        "https://h:99999",
        "https://[::1",
    ],
    "GITHUB_TOKEN": ["two\nlines", "two\rlines"],
    "SPEC_WORKFLOW_GITHUB_REPOSITORY": ["a", "a/b/c", "https://github.com/a/b", "a/b,c", "-a/b", "a/b;c/d"],
    "BRANCH_PREFIX": [
        *(
            "/",
            "/a",
            "a//b",
            "-a",
            ".a",
            "a/.b",
            "a..b",
            "a.",
            "a.lock",
            "a.lock/b",
            "@",
            "a@{1}",
            "a b",
            "a~1",
            "a^",
            "a:b",
        ),
        *("a?b", "a*", "a[b", "a\\b", "a\x7f", "a\u202eb", "refs", "refs/heads/a", "x" * 101),
    ],
    "GITHUB_HTTPS_PROXY": [
        "socks5://proxy:1080",
        "http://u:p@ss@proxy:3128",
        "http://u:pa/ss@proxy:3128",
        "http://proxy:3128/path",
        "http://:3128",
        "http://proxy:0",
        "http://proxy:99999",
        "pro xy",
    ],
    "SPEC_WORKFLOW_TEST_MODE": ["maybe", "2", "tru"],
    "GITHUB_APP_ID": ["my app", "-1", "0x1", "Iv", "lv1.0123456789abcdef"],
    # Not a key, a public one, one with a password, one of another kind, a truncated one, one without line breaks.
    "GITHUB_APP_PRIVATE_KEY": [
        "key",
        PEM.replace("PRIVATE", "PUBLIC"),
        PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        PEM.replace("RSA", "EC"),
        PEM[:200],
        PEM.replace("\n", " "),
    ],
    "GIT_AUTHOR_NAME": [",", "<>", "a<b", "a\nb", "."],
    "GIT_AUTHOR_EMAIL": ["a>b", "<a@b>"],
    "CLONE_DEPTH": ["-1", "1000001", "all"],
    "MAX_WORKSPACE_BYTES": ["0", "1023k", "-1g", "much"],
    "MAX_WORKSPACE_FILES": ["0", "999", "many"],
    "MAX_KEPT_WORKSPACE_BYTES": ["-1", "some"],
    "MAX_LOG_BYTES": ["0", "1023"],
    "MAX_RUN_LOG_BYTES": ["0", "1023"],
    "NOT_SECRET_SHA256": ["a" * 63, "g" * 64, f"{'0' * 64},AKIAIOSFODNN7EXAMPLE", "sha256:" + "0" * 64],
    "MAX_CHANGE_BYTES": ["0", "1023", "-1", "ten", "1t", "1.5g", "m"],
    # No limit at all, and less than a container needs to start.
    "CONTAINER_MEMORY": ["0", "1m", "63m"],
    "CONTAINER_CPUS": ["0", "0.05", "257", "nan", "inf", "two"],
    "CONTAINER_PIDS": ["15", "0"],
    "CODEX_SHARDS": ["0", "65", "three"],
    "CODEX_VOLUME_PREFIX": ["/a", "a b", "-a", "ü", "x" * 62, "a/b"],
    "AGENT_WALL": ["maybe"],
    "LOGIN_BROKER": ["maybe"],
    "AGENT_EGRESS_ALLOW": [
        "*",
        "*.com",
        "https://packages.example.com",
        "packages.example.com:0",
        "packages.example.com/simple",
        "a.b, u@c.d",
    ],
    "JOB_NETWORK": ["host/x", "a b"],
    "EXTRA_CA_CERTS": ["/nowhere/ca.pem", "/"],
    # Without TLS over the internet; a user; a fragment.
    "WEBHOOK_URL": [
        "http://hooks.example.org/x",
        "http://8.8.8.8/x",
        "https://u:p@h/x",
        "https://h/#f",
        "https://h\\@x/",
        "https://hö.example/",
        "https:///x",
        "h/x",
        "ftp://h/x",
    ],
    # Without the prefix, no base64, and 23 and 65 bytes.
    "WEBHOOK_SECRET": ["A" * 32, "whsec_", "whsec_" + "!" * 32, f"whsec_{'A' * 31}", f"whsec_{'A' * 87}"],
    # Beyond the range of dates.
    "TEXT_RETENTION": ["0", "never"],
    "ARTIFACT_RETENTION": ["0", "0d", "-1h", "1y", "1.5h", "9999999d", "3651d"],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_value_is_read(name: str) -> None:
    """Each documented form, in upper and lower case, with surrounding blanks."""
    for raw, value in GOOD[name].items():
        assert getattr(load(NEEDS.get(name, {}) | {name: raw}).settings, name.lower()) == value


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_value_is_refused(name: str) -> None:
    """The problem names the setting and the reason."""
    for raw in BAD[name]:
        with pytest.raises(SettingsError) as caught:
            load({name: raw})
        (problem,) = caught.value.problems
        assert (problem.name, problem.hint) == (name, options()[name].hint), raw
        assert problem.message.endswith("."), raw


APP = ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY")


@given(st.text(max_size=40))
def test_no_value_breaks_the_parser(raw: str) -> None:
    """Any text is accepted or refused with its setting's name; nothing else is raised."""
    for name in options():
        problems: tuple[SettingProblem, ...] = ()
        try:
            load({name: raw})
        except SettingsError as error:
            problems = error.problems
        assert {problem.name for problem in problems} <= {name, "OIDC_ISSUER_URL", "PHASE_SILENCE_LIMIT", *APP}


def test_a_private_key_is_kept_with_its_line_breaks_and_never_shown() -> None:
    r"""It may have any line ends, or be on one line with `\n`, as in env files. An error does not contain it."""
    for raw in (PEM, PEM.replace("\n", "\r\n"), PEM.replace("\n", "\\n"), f"\n{PEM}\n\n"):
        loaded = load({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": raw})
        key = loaded.settings.github_app_private_key
        assert key is not None
        assert key.reveal() == PEM + "\n"
        shown = {row.name: row.shown for row in loaded.table()}["GITHUB_APP_PRIVATE_KEY"]
        assert (shown, str(key)) == ("***", "Secret(***)")
    with pytest.raises(SettingsError) as caught:
        load({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": PEM[:-10]})
    assert not any(line in str(caught.value) for line in PEM.splitlines()[1:-1])


def test_a_webhooks_url_is_kept_and_shown_without_path_and_query() -> None:
    """A slash at the end matters to receivers. Path and query may be a key, and each run has the settings."""
    for raw, shown in {
        "HTTPS://hooks.example.org/Abc/": "https://hooks.example.org/***",
        "https://hooks.example.org?key=abc": "https://hooks.example.org/***",
        "https://hooks.example.org/": "https://hooks.example.org/",
        "http://127.0.0.1:8080/services/T0/abc": "http://127.0.0.1:8080/***",
        "http://[fd00::7]/abc": "http://[fd00::7]/***",
        "http://hooks:8080": "http://hooks:8080",
    }.items():
        loaded = load({"WEBHOOK_URL": raw, "WEBHOOK_SECRET": f"whsec_{'A' * 32}"})
        url = loaded.settings.webhook_url
        assert isinstance(url, WebhookUrl)
        assert url.reveal() == f"{raw[:5].lower()}{raw[5:]}"
        assert {row.name: row.shown for row in loaded.table()}["WEBHOOK_URL"] == shown
        assert "abc" not in f"{url!r} {url.origin} {loaded!r}".lower()


def test_where_a_webhooks_messages_are_sent_in_clear() -> None:
    """Only https, and the loopback interface, keep them from others."""
    clear = {
        "http://10.0.0.7/x": True,
        "http://hooks/x": True,
        "http://localhost/x": False,
        "https://10.0.0.7/x": False,
    }
    assert {url: WebhookUrl(url).sent_in_clear for url in clear} == clear
