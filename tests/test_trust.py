"""Which certificate authorities the appliance's own HTTP clients trust."""

from pathlib import Path

import pytest

from moonmind_appliance.errors import FileUnusable, SettingsError
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from moonmind_appliance.trust import extra_authorities, trust_context


def test_the_operators_authority_is_added(tmp_path: Path) -> None:
    """The public ones stay trusted."""
    (tmp_path / "ca.pem").write_bytes(make_certificates(["host.example"]).ca)
    public, both = trust_context(None).get_ca_certs(), trust_context(tmp_path / "ca.pem").get_ca_certs()
    added = [found for found in both if found not in public]
    assert [found["subject"] for found in added] == [((("commonName", "Rehearsal certificate authority"),),)]
    assert len(both) == len(public) + 1


@pytest.mark.parametrize("content", [None, b"not a certificate"])
def test_a_file_without_a_certificate_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """It is never ignored: then the operator's server would be refused later, without a reason."""
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(SettingsError, match=r"EXTRA_CA_CERTS.*(?:No such file|(?i:no.certificate))"):
        trust_context(tmp_path / "ca.pem")


def test_the_authorities_for_containers(tmp_path: Path) -> None:
    """The bytes of the file. It may be removed after the start."""
    ca_file = tmp_path / "ca.pem"
    with pytest.raises(FileUnusable, match=r"EXTRA_CA_CERTS cannot be read: No such file.* Put the file back"):
        extra_authorities(ca_file)
    ca_file.write_bytes(b"certificates")
    assert extra_authorities(ca_file) == b"certificates"
