"""One file with the container's certificate authorities and the operator's."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container import ca_bundle


@pytest.fixture(autouse=True)
def system_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own bundle has another path than the image's."""
    (tmp_path / "system.crt").write_text("public\n")
    monkeypatch.setattr(ca_bundle, "SYSTEM_BUNDLE", tmp_path / "system.crt")


def test_the_bundle_has_both(tmp_path: Path) -> None:
    """A second call writes the same."""
    (tmp_path / "extra.pem").write_text("own\n")
    for _ in range(2):
        assert ca_bundle.main({"extra_ca": str(tmp_path / "extra.pem"), "bundle": str(tmp_path / "ca.pem")}) == 0
        assert (tmp_path / "ca.pem").read_text() == "public\n\nown\n"


def test_without_a_file_of_the_operator_nothing_is_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without the variable nor if it names no file."""
    monkeypatch.delenv(ca_bundle.EXTRA_CA_VARIABLE, raising=False)
    ca_bundle.trust(home)
    monkeypatch.setenv(ca_bundle.EXTRA_CA_VARIABLE, str(home / "absent.pem"))
    ca_bundle.trust(home)
    assert list(home.iterdir()) == []


def test_the_variable_names_the_operators_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is in HOME, where the agent's variables point."""
    (tmp_path / "extra.pem").write_text("own\n")
    monkeypatch.setenv(ca_bundle.EXTRA_CA_VARIABLE, str(tmp_path / "extra.pem"))
    ca_bundle.trust(home)
    assert (home / ca_bundle.BUNDLE_NAME).read_text() == "public\n\nown\n"
