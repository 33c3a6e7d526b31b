"""This machine: data folder, room on the disk, Docker engine, job image, API address, `serve`, clock."""

import errno
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from moonmind_appliance.api.paths import BASE_PATH
from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.doctor.finding import Finding, note, ok, wrong
from moonmind_appliance.cli.terminal import clean, size
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.serving import open_socket
from moonmind_appliance.settings import Settings

# Of Docker 20.10.
OLDEST_API = (1, 41)
CONTRACT = "1"
_LABELS = ("moonmind.codex.version", "moonmind.spec-kit.version", "moonmind.job-image.version")
_OTHERS = 0o077
_MOST_SKEW = 60.0


def data_folder(settings: Settings) -> Finding:
    """It is there, or can be made, is closed to others, and this user may write to it."""
    check, folder = "data folder", settings.moonmind_data_dir
    nearest = _nearest(folder)
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return wrong(check, f"{folder}: this user may not write to {nearest}.", "Run as its owner, root as a rule.")
    if nearest != folder:
        return ok(check, f"{folder} is made at the first start.")
    if folder.stat().st_mode & _OTHERS:
        return note(check, f"{folder} can be read by other users of this machine.", f"chmod 700 {folder}")
    return ok(check, str(folder))


def free_space(settings: Settings) -> Finding:
    """More than MIN_FREE_DISK is free."""
    free = shutil.disk_usage(_nearest(settings.moonmind_data_dir)).free
    seen = f"{size(free)} free, MIN_FREE_DISK is {size(settings.min_free_disk)}"
    if free < settings.min_free_disk:
        return wrong("disk", seen, "Make room, or lower MIN_FREE_DISK.")
    return ok("disk", seen)


def docker_engine(engine: ContainerEngine) -> Finding:
    """It answers, and is new enough."""
    check = "Docker engine"
    try:
        info = engine.info()
    except ApplianceError as error:
        return wrong(check, error.message, error.hint or "Start the Docker engine.")
    if tuple(int(part) for part in info.api_version.split(".") if part.isdigit()) < OLDEST_API:
        return wrong(check, f"{info.version} is too old.", "Install Docker 20.10 or newer.")
    return ok(check, f"{info.version}, API {info.api_version}")


def job_image(engine: ContainerEngine, settings: Settings) -> Finding:
    """The engine has it, and it carries the labels of an image that keeps the contract."""
    check, reference = "job image", settings.spec_automation_job_image
    build = "Build it: ./install.sh, or job_image/build.sh in the checkout."
    try:
        image = engine.image(reference)
    except ApplianceError as error:
        return wrong(check, error.message, error.hint or build)
    if image is None:
        return wrong(check, f"The engine has no image {reference}.", build)
    missing = [label for label in _LABELS if label not in image.labels]
    if missing:
        return wrong(check, f"{reference} lacks the labels {', '.join(missing)}.", build)
    codex, spec_kit, version = (image.labels[label] for label in _LABELS)
    seen = f"{reference}: Codex {codex}, Spec Kit {spec_kit}, contract {version}, {size(image.size_bytes)}"
    if version.partition(".")[0] != CONTRACT:
        return wrong(check, seen, f"The appliance needs contract {CONTRACT}.x. {build}")
    return ok(check, seen)


class _Check(msgspec.Struct):
    name: str = ""
    message: str = ""
    field: str = ""


class _Ready(msgspec.Struct):
    errors: list[_Check] = []


def api_and_serve(settings: Settings) -> list[Finding]:
    """Whether `serve` answers at its address, and if not, whether it could."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.moonmind_host, settings.moonmind_host)  # noqa: S104 - compared
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{settings.moonmind_port}"
    try:
        with httpx.Client(base_url=address + BASE_PATH, trust_env=False, timeout=5) as client:
            alive = client.get("/health")
            if alive.status_code != httpx.codes.OK or "version" not in alive.text:
                raise httpx.RequestError("something else answers")
            version = clean(str(alive.json().get("version", "?")))
            return [ok("API address", f"{address}, taken by serve"), _serve(client, version)]
    except (httpx.HTTPError, ValueError, AttributeError):
        return [_address(settings, address), note("serve", "It does not run.", f"{PROGRAM} serve")]


def _serve(client: httpx.Client, version: str) -> Finding:
    """What a running `serve` says of itself."""
    ready = client.get("/ready")
    if ready.status_code == httpx.codes.OK:
        return ok("serve", f"version {version}, takes and runs work")
    try:
        told = msgspec.json.decode(ready.content, type=_Ready).errors
    except msgspec.MsgspecError:
        told = []
    words = " ".join(clean(f"{check.field}: {check.message}") for check in told)
    return wrong("serve", f"version {version} cannot work now. {words}", "Mend what it names.")


def _address(settings: Settings, address: str) -> Finding:
    check = "API address"
    try:
        open_socket(settings.moonmind_host, settings.moonmind_port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            find = f"`ss -ltnp 'sport = :{settings.moonmind_port}'` shows it"
            return wrong(check, f"{address} is taken by another process.", f"{find}; stop it, or set MOONMIND_PORT.")
        return wrong(check, f"{address}: {error.strerror}.", "Set MOONMIND_HOST and MOONMIND_PORT to what can be had.")
    return ok(check, f"{address} is free")


def clock(seen: datetime | None, now: datetime) -> Finding:
    """This machine's clock beside the time in GitHub's answer: tokens and quotas end by the clock."""
    if seen is None:
        return note("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC; nobody to compare it with.")
    skew = (now - seen.astimezone(UTC)).total_seconds()
    if abs(skew) > _MOST_SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        return wrong("clock", f"{abs(skew):.0f} s {ahead} GitHub's.", "Set it: timedatectl set-ntp true")
    return ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, as GitHub has it")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())
