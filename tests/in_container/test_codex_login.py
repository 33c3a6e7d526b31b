"""A sign-in starts Codex with the operator's certificate authorities, and leaves neither them nor the key behind."""

import json
from pathlib import Path

import pytest

from moonmind_appliance.in_container import ca_bundle
from moonmind_appliance.in_container.codex_login import main

CODEX = """#!/usr/bin/env python3
import json, os, pathlib, sys
home = pathlib.Path(os.environ["HOME"])
bundle = home / "ca.pem"
said = {"stdin": sys.stdin.read(), "bundle": bundle.read_text() if bundle.exists() else None}
(home / "said.json").write_text(json.dumps(said))
sys.exit(7)
"""


@pytest.fixture
def codex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stand-in that records its input, and exits with 7."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ca_bundle, "SYSTEM_BUNDLE", tmp_path / "system.pem")
    (tmp_path / "system.pem").write_text("system")
    (tmp_path / "codex").write_text(CODEX)
    (tmp_path / "codex").chmod(0o755)
    return str(tmp_path / "codex")


@pytest.mark.parametrize("extra_ca", [None, "operator"])
@pytest.mark.parametrize("api_key", [None, "sk-1"])
def test_a_sign_in(tmp_path: Path, codex: str, api_key: str | None, extra_ca: str | None) -> None:
    """The key is Codex's input, the exit code is Codex's, and both files are removed."""
    for name, content in (("api-key", api_key), ("extra-ca.pem", extra_ca)):
        if content:
            (tmp_path / name).write_text(content)
    job = {"command": [codex], "extra_ca": str(tmp_path / "extra-ca.pem")}
    assert main(job | {"api_key_file": str(tmp_path / "api-key") if api_key else None}) == 7
    said = json.loads((tmp_path / "said.json").read_text())
    assert said == {"stdin": api_key or "", "bundle": f"system\n{extra_ca}" if extra_ca else None}
    assert not {"api-key", "extra-ca.pem"} & {path.name for path in tmp_path.iterdir()}
