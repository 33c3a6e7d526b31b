"""Checks of this machine: data folder, free disk space, database, clock."""

import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from moonmind_appliance.checks.finding import Finding, note, ok, wrong
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import ApplianceError, StoreError
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.disk import least_to_accept, watched_disks
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.units import size

_FREE_SPACE = "Run `moonmind-appliance prune`, free some space, or lower MIN_FREE_DISK."
_ROOT_GROUP = 0
_MOST_SKEW = 60.0
# Answers of file systems that have no files without a name (open(2), O_TMPFILE).
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR})


def data_folder(settings: Settings) -> Finding:
    """Check that it exists or can be created, that other users cannot read it, and that this user can write to it."""
    check, folder = "data folder", settings.moonmind_data_dir
    nearest = _nearest(folder)
    if not nearest.is_dir():
        return wrong(check, f"{nearest} is not a folder.", "Set MOONMIND_DATA_DIR to a folder.")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return wrong(check, f"{folder}: this user cannot write to {nearest}.", "Run as its owner, usually root.")
    if nearest != folder:
        return ok(check, f"{folder} is created at the first start.")
    if others_read(folder.stat()):
        return note(check, f"Other users of this machine can read {folder}.", f"chmod 700 {folder}")
    return ok(check, str(folder))


def free_space(settings: Settings, engine: ContainerEngine | None = None) -> Finding:
    """Check that more than MIN_FREE_DISK is free on each disk that is watched before a run starts."""
    disks = watched_disks(settings, engine)
    observed = ", ".join(f"the disk of {disk.what} has {size(disk.free)} free" for disk in disks)
    observed = f"{observed[0].upper()}{observed[1:]}; MIN_FREE_DISK is {size(settings.min_free_disk)}."
    if disks[0].free < least_to_accept(settings):
        return wrong("disk", f"{observed} New runs are refused, and queued runs wait.", _FREE_SPACE)
    if any(disk.free < settings.min_free_disk for disk in disks):
        return wrong("disk", f"{observed} New runs are accepted, and wait.", _FREE_SPACE)
    return ok("disk", observed)


def database(
    settings: Settings, resources: Resources | None, problem: ApplianceError | None = None, *, whole: bool = False
) -> Finding:
    """Check that it can be opened and read, and its folder written; with `whole` also search the file for damage.

    `problem` is the error of an attempt to attach, if there are no resources.
    """
    check, path = "database", settings.moonmind_data_dir / DATABASE_NAME
    if isinstance(problem, StoreError):
        return wrong(check, problem.message, problem.hint or "See the message.")
    if resources is not None:
        resources.store.runs.counts()
        if whole:
            resources.store.database.check()
        if why := _why_not_writable(settings.moonmind_data_dir):
            to_do = "Mount the disk writable, with the data folder in its place; the kernel's log may have the cause."
            return wrong(check, f"{settings.moonmind_data_dir} cannot be written: {why}.", to_do)
        return ok(check, str(path))
    if path.exists():
        return note(check, f"{path} could not be opened.")
    return ok(check, f"{path} is created at the first start.")


def clock(github: datetime | None, now: datetime) -> Finding:
    """Compare this machine's clock with the time in GitHub's response: tokens and quotas expire by the clock."""
    if github is None:
        return note(
            "clock",
            f"{now:%Y-%m-%d %H:%M:%S} UTC; not compared: GitHub was not asked, or did not respond.",
        )
    skew = (now - github.astimezone(UTC)).total_seconds()
    if abs(skew) > _MOST_SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        return wrong(
            "clock", f"{abs(skew):.0f} s {direction} GitHub's clock.", "Synchronize it: timedatectl set-ntp true"
        )
    return ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, matches GitHub's clock")


def _why_not_writable(folder: Path) -> str | None:
    """The kernel's reason; None if a file can be made in the folder. Makes one without a name, which leaves nothing."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return None if error.errno in _UNSUPPORTED else error.strerror or str(error)
    return None


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def others_read(found: os.stat_result) -> bool:
    """Whether users outside root's group have access: that group is how a container without root works."""
    group = found.st_mode & stat.S_IRWXG and found.st_gid != _ROOT_GROUP
    return bool(group or found.st_mode & stat.S_IRWXO)
