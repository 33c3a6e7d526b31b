"""Checks of the Docker engine and its job image."""

from moonmind_appliance.checks.finding import Finding, ok, wrong
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.models import version_label
from moonmind_appliance.settings import Settings

# Of Docker 20.10.
OLDEST_API = (1, 41)
CONTRACT = "1"
_LABELS = tuple(map(version_label, ("codex", "spec-kit", "job-image")))

START = "Start the Docker engine, or set DOCKER_HOST."
BUILD = "Build it with ./install.sh, or with job_image/build.sh in the checkout."


def docker_engine(engine: ContainerEngine) -> Finding:
    """Check that the engine answers and is new enough. Raises what the engine raises."""
    check = "Docker engine"
    info = engine.info()
    if tuple(int(part) for part in info.api_version.split(".") if part.isdigit()) < OLDEST_API:
        return wrong(check, f"{info.version} is too old.", "Install Docker 20.10 or newer.")
    return ok(check, f"{info.version}, API {info.api_version}")


def job_image(engine: ContainerEngine, settings: Settings) -> Finding:
    """Check that the engine has the image and that its labels match the contract. Raises what the engine raises."""
    check, reference = "job image", settings.spec_automation_job_image
    image = engine.image(reference)
    if image is None:
        return wrong(check, f"The Docker engine has no image {reference}.", BUILD)
    missing = [label for label in _LABELS if label not in image.labels]
    if missing:
        return wrong(check, f"{reference} lacks the labels {', '.join(missing)}.", BUILD)
    codex, spec_kit, version = (image.labels[label] for label in _LABELS)
    observed = f"{reference}: Codex {codex}, Spec Kit {spec_kit}, contract {version}"
    if version.partition(".")[0] != CONTRACT:
        return wrong(check, observed, f"The appliance needs contract {CONTRACT}.x. {BUILD}")
    return ok(check, observed)
