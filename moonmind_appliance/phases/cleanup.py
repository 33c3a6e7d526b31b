"""Remove the run's containers. Always runs, is idempotent, and ignores a cancel."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN, ContainerState
from moonmind_appliance.phases.background import in_background
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.names import AGENT
from moonmind_appliance.phases.renewals import wait_for_renewals
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.phases.workspace_watch import watch_git


class Removed(msgspec.Struct, frozen=True):
    """The names of the containers that were removed, and why others were not."""

    names: list[str] = []
    problems: list[str] = []


def cleanup(ctx: PhaseContext, earlier: Removed | None = None, before: Sequence[str] = ()) -> PhaseResult:
    """Remove the containers, and record what could not be removed.

    The volumes are kept until retention, unless they are larger than MAX_KEPT_WORKSPACE_BYTES, or the context says
    so: then a retry starts at the clone.

    Args:
        ctx: the context.
        earlier: what `remove_containers` returned if it was called already.
        before: the names of containers that were removed before that.
    """
    if earlier is None:
        watch = watch_git(ctx)
        watch.measure_now()
        ctx.workspace_bytes = watch.used if watch.used is not None else ctx.workspace_bytes
        earlier = remove_containers(ctx.engine, ctx.names.appliance_id, ctx.run.run_id)
    problems = list(earlier.problems)
    volumes, dropped = [ctx.names.workspace_volume, ctx.names.git_volume], list[str]()
    if not ctx.keep_volumes or (ctx.workspace_bytes or 0) > ctx.settings.max_kept_workspace_bytes:
        for volume in volumes:
            try:
                ctx.engine.remove_volume(volume)
                dropped.append(volume)
            except EngineError as error:
                problems.append(f"{volume}: {error.message}")
    if ctx.settings.agent_wall:
        try:
            ctx.engine.remove_volume(ctx.names.egress_volume)
        except EngineError as error:
            problems.append(f"{ctx.names.egress_volume}: {error.message}")
    kept = [volume for volume in volumes if volume not in dropped]
    return PhaseResult(
        metadata={
            "removed": [*before, *(name for name in earlier.names if name not in before)],
            "not_cleaned": problems,
            "volumes_kept": kept,
            "volumes_dropped": dropped,
            "workspace_bytes": ctx.workspace_bytes,
        }
    )


def remove_containers(engine: ContainerEngine, appliance_id: str, run_id: str, *roles: str) -> Removed:
    """Remove all containers of a run, or only those with these roles, in parallel. Idempotent.

    By their ids: another run's container may have the same name a moment later.
    """
    labels = {LABEL_APPLIANCE: appliance_id, LABEL_RUN: run_id}
    try:
        found = engine.containers(labels)
    except EngineError as error:
        return Removed(problems=[error.message])
    settled = in_background("renewals", partial(wait_for_renewals, engine, found))
    if roles:
        found = [container for container in found if container.labels.get(LABEL_ROLE) in roles]

    def remove(container: ContainerState) -> str | None:
        if container.labels.get(LABEL_ROLE) != AGENT:
            settled.result()
        try:
            engine.remove(container.container_id)
        except EngineError as error:
            return f"{container.container_id}: {error.message}"
        return None

    if not found:
        return Removed()
    with ThreadPoolExecutor(len(found), thread_name_prefix="cleanup") as pool:
        answers = list(pool.map(remove, found))
    names = [each.name for each, answer in zip(found, answers, strict=True) if not answer]
    return Removed(names, [answer for answer in answers if answer])
