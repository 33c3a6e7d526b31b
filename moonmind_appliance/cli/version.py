"""`version`: the versions of the appliance, Python, and the tools in the job image."""

import platform

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import facts
from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import version_label
from moonmind_appliance.settings import Settings
from moonmind_appliance.version import appliance_version

_LABELS = {name: version_label(name.replace("_", "-")) for name in ("codex", "spec_kit", "job_image")}


@click.command(
    cls=Command,
    examples=[
        ("For people", f"{PROGRAM} version"),
        ("Codex's version, for a script", f"{PROGRAM} version --json | jq -r .codex"),
    ],
)
@click.pass_obj
def version(invocation: Invocation) -> None:
    """Show the versions of the appliance and its tools.

    The versions of Codex and Spec Kit are those in the job image; without an engine or image they are empty.
    """
    found = versions(invocation, invocation.settings(demanded=False))
    shown = facts(
        (name.replace("_", " "), Text(value, "bold") if name == "appliance" else value)
        for name, value in found.items()
        if value
    )
    invocation.print_result(found, shown)


def versions(invocation: Invocation, settings: Settings) -> dict[str, str | None]:
    """The version of each part; None where it cannot be read."""
    docker, labels = _on_the_engine(invocation, settings)
    return {
        "appliance": appliance_version(),
        "python": platform.python_version(),
        "docker": docker,
        "job_image_reference": settings.spec_automation_job_image,
        **{name: labels.get(label) for name, label in _LABELS.items()},
    }


def _on_the_engine(invocation: Invocation, settings: Settings) -> tuple[str | None, dict[str, str]]:
    """The engine's version, and the job image's labels; None and nothing where they cannot be read."""
    try:
        from moonmind_appliance.containers.docker import DockerEngine  # noqa: PLC0415 - a caller over HTTP has no Docker
    except ModuleNotFoundError:
        return None, {}
    engine = DockerEngine(settings.docker_host)
    docker, labels = None, {}
    try:
        docker = engine.info().version
        image = engine.image(settings.spec_automation_job_image)
        labels = dict(image.labels) if image else {}
        if image is None:
            invocation.print_message(
                f"The engine has no image {settings.spec_automation_job_image}: build it with ./install.sh."
            )
    except EngineError as error:
        invocation.print_message(str(error))
    finally:
        engine.close()
    return docker, labels
