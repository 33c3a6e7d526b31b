"""The saved login: complete, and readable only by its owner."""

import os
import stat
from pathlib import Path

import pytest

from moonmind_appliance.errors import LoginError
from moonmind_appliance.oidc.token_file import SavedLogin, TokenFile, default_token_path

LOGIN = SavedLogin(
    issuer="https://keycloak.example.test/realms/moonmind",
    client_id="moonmind-cli",
    username="maya",
    access_token="an-access-token",
    access_expires_at=1_800_000_000.5,
    refresh_token="a-refresh-token",
)


@pytest.fixture
def file(tmp_path):
    return TokenFile(tmp_path / "config" / "moonmind-appliance" / "login.json")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_loaded(file):
    """A login comes back as it was saved."""
    file.save(LOGIN)
    assert file.load() == LOGIN


def test_only_the_owner_reads_it(file):
    """Others cannot read file and folder, with any umask; also after the second save."""
    before = os.umask(0)
    try:
        file.save(LOGIN)
        file.save(LOGIN)
    finally:
        os.umask(before)
    assert mode(file.path) == 0o600
    assert mode(file.path.parent) == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["login.json"]


def test_a_file_that_was_opened_to_others_is_closed(file):
    """Loading corrects permissions that are too open."""
    file.save(LOGIN)
    file.path.chmod(0o644)
    assert file.load() == LOGIN
    assert mode(file.path) == 0o600


def test_nothing_there(file):
    """Without a file there is no login; `forget` is safe twice."""
    assert file.load() is None
    file.save(LOGIN)
    assert file.forget()
    assert not file.forget()
    assert file.load() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"issuer": 5}'])
def test_a_spoiled_file(file, content):
    """The error for an unreadable file says what to do, and does not quote the file."""
    file.save(LOGIN)
    file.path.write_bytes(content)
    with pytest.raises(LoginError, match="moonmind-appliance login") as refused:
        file.load()
    assert refused.value.code == "token_file_unusable"


def test_a_folder_in_the_way(file):
    """The error names a path that cannot be written."""
    file.path.mkdir(parents=True)
    with pytest.raises(LoginError, match=r"login\.json") as refused:
        file.save(LOGIN)
    assert refused.value.code == "token_file_unusable"
    assert [path.name for path in file.path.parent.iterdir()] == ["login.json"]


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/maya"}, "/home/maya/.config/moonmind-appliance/login.json"),
        ({"HOME": "/home/maya", "XDG_CONFIG_HOME": "/cfg"}, "/cfg/moonmind-appliance/login.json"),
        ({"HOME": "/home/maya", "XDG_CONFIG_HOME": "cfg"}, "/home/maya/.config/moonmind-appliance/login.json"),
    ],
)
def test_the_place(environment, path):
    """The user's configuration folder; a relative one does not count (XDG Base Directory)."""
    assert default_token_path(environment) == Path(path)
