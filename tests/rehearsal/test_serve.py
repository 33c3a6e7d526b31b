"""What a served rehearsal gives to curl, Postman and other commands."""

import json
import shlex
from pathlib import Path

from moonmind_appliance.cli.configuration import read_env_file
from moonmind_appliance.rehearsal.serve import curl_command, env_file_text, postman_environment

SPEC = '# It\'s "due"\n\n- $HOME `id` \\n\n'


def test_the_curl_command_survives_a_shell() -> None:
    """Quotes, line breaks and dollars of the specification are unchanged."""
    words = shlex.split(curl_command("http://127.0.0.1:1", "token", SPEC).replace("\\\n", ""))
    assert words[:5] == ["curl", "-sS", "-X", "POST", "http://127.0.0.1:1/api/spec-automation/runs"]
    assert "Authorization: Bearer token" in words
    assert json.loads(words[-1])["specify_text"] == SPEC


def test_the_env_file_gives_the_variables_again(tmp_path: Path) -> None:
    """As the appliance reads it."""
    variables = {"A": "plain", "MOONMIND_DATA_DIR": "/srv/it's here", "B": "back\\slash $x #y", "C": ""}
    path = tmp_path / "appliance.env"
    path.write_text(env_file_text(variables), encoding="utf-8")
    path.chmod(0o600)
    assert read_env_file(path).values == variables


def test_the_postman_environment_has_the_variables_of_the_collection() -> None:
    """Secrets are marked as such."""
    ours = json.loads(postman_environment("http://127.0.0.1:1", "token", SPEC))["values"]
    folder = Path(__file__).parents[2] / "docs" / "postman"
    (file,) = folder.glob("*environment.json")
    assert [each["key"] for each in ours] == [
        each["key"] for each in json.loads(file.read_text(encoding="utf-8"))["values"]
    ]
    given = {each["key"]: (each["value"], each["type"]) for each in ours}
    assert given["moonmind_api_token"] == ("token", "secret")
    assert given["spec_input"] == (SPEC, "default")
