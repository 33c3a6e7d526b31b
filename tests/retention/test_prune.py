"""What the plan lists is removed, and nothing that is needed again meanwhile."""

import threading
from datetime import timedelta

import msgspec
import pytest

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import LABEL_BUILD, PhaseName, RunStatus, UnusedImage
from moonmind_appliance.retention.plan import Kind, Plan, make_plan
from moonmind_appliance.retention.prune import Result, describe, prune
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.shards.spec import STAGING, login_labels
from tests.appliance_under_test import ApplianceUnderTest
from tests.dispatching import no_file_grows
from tests.fakes import ANN, NOW
from tests.retention.changed import changed


def pruned(appliance: ApplianceUnderTest, plan: Plan | None = None) -> dict[Kind, Result]:
    resources = changed(appliance.resources, text_retention=60)
    return {result.item.kind: result for result in prune(resources, plan or make_plan(resources))}


def test_everything_that_the_plan_lists_goes(appliance: ApplianceUnderTest, left: dict[str, int]) -> None:
    """A second plan is empty but for the events of the removal; the login and the run's record stay."""
    run = appliance.run()
    left["codex_auth_0"] = 100
    first, appliance_id = appliance.resources.shards[0], appliance.resources.appliance_id
    appliance.engine.ensure_volume(first.staging_volume, login_labels(first, appliance_id, STAGING))
    appliance.engine.unused = [UnusedImage("sha256:1", {LABEL_BUILD: "x"}, NOW - timedelta(days=2), 5)]
    appliance.clock.now = appliance.store.events.after(0)[-1].at + timedelta(days=400)
    results = pruned(appliance)
    assert {kind: result.problem for kind, result in results.items()} == dict.fromkeys(Kind, "")
    assert appliance.resources.files.run_ids() == []
    assert set(appliance.engine.volume_data) == {"codex_auth_0", "codex_auth_1"}
    assert (left, appliance.engine.unused) == ({}, [])
    assert appliance.engine.volume_data["codex_auth_0"].files["auth.json"]
    kept = appliance.stored(run)
    assert (kept.status, kept.specify_text) == (RunStatus.SUCCEEDED, "")
    assert pruned(appliance).keys() <= {Kind.EVENTS}


@pytest.mark.usefixtures("left")
def test_a_run_that_is_queued_again_meanwhile_keeps_everything(appliance: ApplianceUnderTest) -> None:
    """The plan was made before: each removal checks again."""
    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [lambda _process: {"verdict": "failed"}]
    run = appliance.run()
    appliance.clock.advance(days=8)
    plan = make_plan(changed(appliance.resources, text_retention=60))
    assert {item.kind for item in plan.items} == {Kind.ARTIFACTS, Kind.WORKSPACE, Kind.SPECIFICATION}
    retry_run(appliance.resources, ANN, run.run_id)
    before = appliance.store.artifacts.list(run.run_id)
    assert {result.problem for result in pruned(appliance, plan).values()} == {"the run was queued again"}
    assert appliance.store.artifacts.list(run.run_id) == before != []
    assert appliance.resources.files.run_ids() == [run.run_id]
    assert len([name for name in appliance.engine.volume_data if name.endswith(run.run_id)]) == 2
    assert appliance.stored(run).specify_text


@pytest.mark.usefixtures("left")
def test_what_cannot_be_removed_stops_nothing_else(appliance: ApplianceUnderTest) -> None:
    """It has the engine's words, and the next call tries again."""
    appliance.run()
    appliance.clock.advance(days=8)
    appliance.engine.fail(EngineError("volume is in use"), method="remove_volume")
    results = pruned(appliance)
    assert results[Kind.WORKSPACE].problem == "volume is in use"
    assert results[Kind.ARTIFACTS].problem == ""
    assert pruned(appliance)[Kind.WORKSPACE].problem == ""


def test_a_full_disk_does_not_prevent_the_removal_of_files(appliance: ApplianceUnderTest) -> None:
    """The records can be deleted when their files have made room; until then the next call tries again."""
    run = appliance.run()
    appliance.clock.advance(days=8)
    plan = make_plan(appliance.resources, {Kind.ARTIFACTS})
    with no_file_grows():
        (result,) = prune(appliance.resources, plan)
    assert result.problem.startswith("Database ")
    assert appliance.resources.files.run_ids() == []
    assert appliance.store.artifacts.list(run.run_id) != []
    (result,) = prune(appliance.resources, plan)
    assert (result.problem, appliance.store.artifacts.list(run.run_id)) == ("", [])


@pytest.mark.usefixtures("left")
def test_it_ends_when_the_process_stops(appliance: ApplianceUnderTest) -> None:
    """After the current batch; what is left is not reported."""
    appliance.run()
    appliance.clock.advance(days=8)
    plan = make_plan(appliance.resources)
    stopped = threading.Event()
    stopped.set()
    assert len(list(prune(msgspec.structs.replace(appliance.resources, stopping=stopped), plan))) == 1
    assert len(list(prune(appliance.resources, plan, seconds=0))) == 1
    assert len(list(prune(appliance.resources, plan, seconds=1000))) == 2


def test_an_item_in_words(appliance: ApplianceUnderTest, left: dict[str, int]) -> None:
    """For the log and the table."""
    run = appliance.run()
    left["codex_auth_1"] = 1
    appliance.clock.advance(days=8)
    words = {describe(item) for item in make_plan(appliance.resources).items}
    short = run.run_id[:8]
    assert words == {f"artifacts of run {short}", f"workspace of run {short}", "files beside the login of shard 1"}


@pytest.mark.usefixtures("left")
def test_a_cache_that_a_run_uses_again_is_kept(appliance: ApplianceUnderTest) -> None:
    """The plan was made before the run was claimed, and the run is about to mount the volume."""
    appliance.run()
    appliance.clock.advance(days=20)
    plan = make_plan(appliance.resources, {Kind.REPOSITORY_CACHE})
    run = appliance.submit()
    lease = appliance.take(run)
    assert pruned(appliance, plan)[Kind.REPOSITORY_CACHE].problem == "a run uses it"
    appliance.store.progress.finish(
        run.run_id, lease, RunStatus.FAILED, now=appliance.clock(), result_summary=None, failure=None
    )
    (result,) = pruned(appliance, plan).values()
    assert (result.problem, describe(result.item)) == ("", f"cache of {appliance.slug.lower()}")
    assert not [name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-")]
