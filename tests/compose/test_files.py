"""compose.yaml and .env.example know every setting, and match the appliance."""

import re

import yaml

from moonmind_appliance.appliance import INTERRUPTION_SECONDS
from moonmind_appliance.settings import Settings, default_of, options, show

from .stack import DOCUMENT, ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
FIXED = {"MOONMIND_DATA_DIR", "MOONMIND_HOST", "MOONMIND_PORT", "WORKSPACES_VOLUME", "DOCKER_HOST"}
# Settings with another default in compose.yaml.
OF_COMPOSE = {"MOONMIND_PUBLIC_URL", "OIDC_INTERNAL_URL"}
OLDER_NAMES = {name for option in options().values() for name in option.older_names}


def example_lines():
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))


def variables_of_compose():
    """The variables that compose.yaml sets, and those that it substitutes."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    # A default can contain variables that have a default.
    default = r"(?:[^${}]|\$\{[^}]*\})*"
    return dict(re.findall(rf"\$\{{([A-Z0-9_]+)(?::?-({default}))?(?::\+[^}}]*)?\}}", text))


def test_compose_passes_every_setting_on():
    """A setting in .env or the shell reaches the appliance, except for those that compose must set."""
    environment = COMPOSE["services"]["api"]["environment"]
    assert set(environment) == set(options()) - {"DOCKER_HOST"} | OLDER_NAMES
    handed = {name for name, value in environment.items() if value is None}
    assert set(environment) - handed == FIXED - {"DOCKER_HOST"} | {"EXTRA_CA_CERTS"} | OF_COMPOSE


def test_the_example_has_every_setting_with_its_sentence():
    """Each setting has its sentence and a line."""
    for name, option in options().items():
        assert f"# {option.sentence}\n" in EXAMPLE, name
    assert set(options()) - FIXED == set(example_lines()) & set(options())


def test_the_examples_values_are_the_defaults():
    """The commented values equal the defaults."""
    lines = {name: value.strip("'") for name, value in example_lines().items()}
    here = variables_of_compose()
    for name in set(options()) - FIXED:
        default = show(name, default_of(name)) if name not in OF_COMPOSE else here[name]
        assert lines[name] == default, name


def test_the_example_has_every_variable_of_compose():
    """Names, ports, images and passwords, with compose.yaml's defaults."""
    lines = example_lines()
    for name, default in variables_of_compose().items():
        if name not in options():
            assert lines[name] == default, name
    known = {*variables_of_compose(), *options(), *OLDER_NAMES, "COMPOSE_PROFILES"}
    assert set(lines) <= known


def test_compose_waits_longer_than_the_appliance():
    """Compose kills the container only after STOP_GRACE, the interruption of the runs, and the end of connections."""
    grace = COMPOSE["services"]["api"]["stop_grace_period"]
    seconds = int(re.fullmatch(r"\$\{STOP_GRACE_PERIOD:-(\d+)s\}", grace)[1])
    assert seconds >= Settings().stop_grace + INTERRUPTION_SECONDS + 10


def test_workspaces_are_in_a_declared_volume():
    """`down --volumes` removes declared volumes only; the volume is where the appliance expects its folders."""
    api = COMPOSE["services"]["api"]
    assert COMPOSE["volumes"]["workspaces"]["name"] == api["environment"]["WORKSPACES_VOLUME"]
    assert f"workspaces:{api['environment']['MOONMIND_DATA_DIR']}/workspaces" in api["volumes"]


def test_volumes_keep_their_plain_names():
    """No project prefix: an appliance on the host finds the same logins."""
    names = {key: volume["name"] for key, volume in COMPOSE["volumes"].items()}
    prefix = default_of("CODEX_VOLUME_PREFIX")
    for number in range(3):
        assert names[f"codex_auth_{number}"] == f"${{CODEX_VOLUME_PREFIX:-{prefix}}}{number}"


def test_keycloak_starts_only_with_its_profile():
    """Without the profile it is neither started nor needed."""
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "keycloak" in service.get("profiles", [])} == {
        "keycloak",
        "keycloak-db",
    }
    assert set(services["api"]["depends_on"]) == {"job-image"}


def test_the_document_names_every_service():
    """docs/compose.md mentions each service."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in COMPOSE["services"] if f"`{name}`" not in text and f" {name}\n" not in text] == []


def test_every_service_is_limited():
    """`no-new-privileges`, memory and process limits; with few exceptions no capability, and a read-only root."""
    services = COMPOSE["services"]
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "pids_limit"} <= set(service), name
    assert {name for name, service in services.items() if service.get("cap_drop") != ["ALL"]} == {"keycloak-db"}
    assert {name for name, service in services.items() if not service.get("read_only")} == {"keycloak", "keycloak-db"}
    assert {name for name, service in services.items() if service.get("cap_add")} == {"api"}
