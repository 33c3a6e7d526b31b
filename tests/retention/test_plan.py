"""The plan lists what is past its retention time, with its run, age and size, and removes nothing."""

from datetime import timedelta

import msgspec
import pytest

from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_BUILD, LABEL_REPOSITORY, LABEL_ROLE, LABEL_RUN, UnusedImage
from moonmind_appliance.retention.plan import FILES, Kind, make_plan
from moonmind_appliance.retention.prune import prune
from moonmind_appliance.shards.spec import SIGN_IN, STAGING, login_labels, login_spec
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW
from tests.retention.changed import changed

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def image(name: str, **age: float) -> UnusedImage:
    return UnusedImage(f"sha256:{name}", {LABEL_BUILD: "job-image"}, NOW - timedelta(**age), 500)


@pytest.mark.usefixtures("left")
def test_before_its_time_nothing_is_listed(appliance: ApplianceUnderTest) -> None:
    """Everything is examined, too."""
    appliance.run()
    plan = make_plan(appliance.resources)
    assert (plan.items, plan.not_examined, plan.engine_failed) == ([], [], False)


@pytest.mark.usefixtures("left")
def test_an_ended_runs_files_and_volumes(appliance: ApplianceUnderTest) -> None:
    """Each with its run, its end and its size; the files' size is their use of the disk."""
    run = appliance.run()
    with appliance.store.database.write() as connection:
        connection.execute(
            "UPDATE phases SET metadata = '{\"workspace_bytes\": 4096}' WHERE run_id = ? AND phase = 'cleanup'",
            (run.run_id,),
        )
    appliance.clock.advance(days=8)
    found = {item.kind: item for item in make_plan(appliance.resources).items}
    assert set(found) == {Kind.ARTIFACTS, Kind.WORKSPACE}
    assert {(item.run_id, item.since) for item in found.values()} == {(run.run_id, run.completed_at)}
    assert found[Kind.WORKSPACE].names == [f"moonmind-git-{run.run_id}", f"moonmind-run-{run.run_id}"]
    assert found[Kind.WORKSPACE].size_bytes == 4096
    assert found[Kind.ARTIFACTS].size_bytes == appliance.resources.files.used(run.run_id) > 0
    assert appliance.resources.files.run_ids() == [run.run_id]


@pytest.mark.usefixtures("left")
def test_what_belongs_to_no_known_run(appliance: ApplianceUnderTest) -> None:
    """Without an age; another appliance's volume is not listed."""
    ours = {LABEL_APPLIANCE: appliance.resources.appliance_id, LABEL_RUN: UNKNOWN}
    appliance.engine.ensure_volume("ours", ours)
    appliance.engine.ensure_volume("theirs", ours | {LABEL_APPLIANCE: "another"})
    (item,) = make_plan(appliance.resources).items
    assert (item.names, item.run_id, item.since, item.size_bytes) == (["ours"], UNKNOWN, None, None)


@pytest.mark.usefixtures("left")
def test_texts_are_kept_unless_the_operator_says_otherwise(appliance: ApplianceUnderTest) -> None:
    """With TEXT_RETENTION they are listed after that time."""
    run = appliance.run(specify_text="Ä basket")
    appliance.clock.advance(days=3)
    assert make_plan(appliance.resources).items == []
    (item,) = make_plan(changed(appliance.resources, text_retention=2 * 86400)).items
    assert (item.kind, item.run_id, item.since, item.size_bytes) == (
        Kind.SPECIFICATION,
        run.run_id,
        run.completed_at,
        9,
    )


def test_what_agents_left_beside_a_login(appliance: ApplianceUnderTest, left: dict[str, int]) -> None:
    """Of each shard that no run uses; a shard in use is named with its user."""
    left |= {"codex_auth_0": 100, "codex_auth_1": 200}
    shard, resources = appliance.resources.shards[1], appliance.resources
    given = login_spec(resources, shard, role="agent", name=shard.lock, login_volume=shard.volume)
    labels = {"moonmind.role": "agent", LABEL_RUN: UNKNOWN}
    appliance.engine.start(msgspec.structs.replace(given, labels=labels), run=False)
    plan = make_plan(resources)
    assert [(item.kind, item.shard, item.names, item.size_bytes) for item in plan.items] == [
        (Kind.LOGIN_LEFTOVERS, 0, ["codex_auth_0"], 100)
    ]
    assert plan.not_examined == [f"login volume of shard 1: it is in use by run {UNKNOWN}."]
    assert left == {"codex_auth_0": 100, "codex_auth_1": 200}
    assert appliance.containers() == [shard.lock]


@pytest.mark.usefixtures("left")
def test_sign_ins_that_were_killed(appliance: ApplianceUnderTest) -> None:
    """Their volumes, which can contain a login; not those of a sign-in in progress or of another appliance."""
    resources, engine = appliance.resources, appliance.engine
    for shard in resources.shards:
        engine.ensure_volume(shard.staging_volume, login_labels(shard, resources.appliance_id, STAGING))
    engine.ensure_volume("theirs", login_labels(resources.shards[0], "another", STAGING))
    first, second = resources.shards
    spec = login_spec(resources, second, role=SIGN_IN, name=second.sign_in, login_volume=second.staging_volume)
    engine.start(spec, run=False)
    (item,) = make_plan(resources).items
    assert (item.kind, item.shard, item.names) == (Kind.SIGN_IN, 0, [first.staging_volume])
    assert [result.problem for result in prune(resources, make_plan(resources))] == [""]
    assert {name for name in engine.volume_data if name.endswith("-staging")} == {second.staging_volume}


@pytest.mark.usefixtures("left")
def test_images_that_nothing_names(appliance: ApplianceUnderTest) -> None:
    """Older than a day: a younger one may belong to a build in progress."""
    appliance.engine.unused = [image("old", hours=25), image("new", hours=23)]
    (item,) = make_plan(appliance.resources).items
    assert (item.kind, item.names, item.size_bytes) == (Kind.IMAGE, ["sha256:old"], 500)


@pytest.mark.usefixtures("left")
def test_old_events(appliance: ApplianceUnderTest) -> None:
    """As one item, with their number."""
    appliance.run()
    appliance.clock.now = appliance.store.events.after(0)[0].at + timedelta(days=4000)
    item = make_plan(appliance.resources).items[-1]
    assert item.kind is Kind.EVENTS
    assert item.count == len(appliance.store.events.after(0, limit=1000))


def test_without_an_engine_the_rest_is_listed(appliance: ApplianceUnderTest) -> None:
    """Docker is asked once, and the plan says that it does not answer."""
    appliance.run()
    appliance.clock.advance(days=8)
    appliance.engine.calls.clear()
    appliance.engine.fail(EngineUnreachable("no engine"), times=100)
    plan = make_plan(appliance.resources)
    assert [item.kind for item in plan.items] == [Kind.ARTIFACTS]
    assert (plan.not_examined, plan.engine_failed) == (["workspace: no engine"], True)
    assert [name for name, _ in appliance.engine.calls] == ["volumes"]


@pytest.mark.usefixtures("left")
def test_an_engine_that_refuses_one_question(appliance: ApplianceUnderTest) -> None:
    """The others are asked."""
    appliance.engine.unused = [image("old", hours=25)]
    appliance.engine.fail(EngineError("volume driver failed"), method="volumes")
    plan = make_plan(appliance.resources)
    assert [item.kind for item in plan.items] == [Kind.IMAGE]
    assert (plan.not_examined, plan.engine_failed) == (["workspace: volume driver failed"], False)


@pytest.mark.usefixtures("left")
def test_a_folder_that_cannot_be_read(appliance: ApplianceUnderTest) -> None:
    """The others are examined; what is wrong with it is reported."""
    appliance.engine.unused = [image("old", hours=25)]
    folder = appliance.resources.settings.moonmind_data_dir / "runs"
    folder.write_bytes(b"not a folder")
    plan = make_plan(appliance.resources)
    assert [item.kind for item in plan.items] == [Kind.IMAGE]
    problem = (
        f"artifacts: {folder} cannot be used: Not a directory. Check the disk and that this user owns the data folder."
    )
    assert plan.not_examined == [problem]


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("damaged", ["then", "9999-12-31T23:59:59.999999Z"])
def test_a_run_with_an_impossible_end(appliance: ApplianceUnderTest, damaged: str) -> None:
    """Is kept, and does not keep others."""
    first, second = appliance.run(), appliance.run()
    with appliance.store.database.write() as connection:
        connection.execute("UPDATE artifacts SET expires_at = NULL")
        connection.execute("UPDATE runs SET completed_at = ? WHERE run_id = ?", (damaged, first.run_id))
    appliance.clock.advance(days=8)
    assert {item.run_id for item in make_plan(appliance.resources).items} == {second.run_id}


def test_only_files(appliance: ApplianceUnderTest, left: dict[str, int]) -> None:
    """For a full disk: what frees space at once, without a container."""
    left["codex_auth_0"] = 100
    appliance.run()
    appliance.clock.now = appliance.store.events.after(0)[0].at + timedelta(days=4000)
    appliance.engine.unused = [image("old", hours=25)]
    plan = make_plan(appliance.resources, FILES)
    assert {item.kind for item in plan.items} == {Kind.ARTIFACTS, Kind.WORKSPACE, Kind.REPOSITORY_CACHE, Kind.IMAGE}


CACHE = {LABEL_ROLE: "cache", LABEL_REPOSITORY: "acme/unknown"}


def caches(appliance: ApplianceUnderTest, *, all_caches: bool = False, **settings: object) -> list[tuple[object, ...]]:
    plan = make_plan(changed(appliance.resources, **settings), {Kind.REPOSITORY_CACHE}, all_caches=all_caches)
    return [(item.repository, item.since) for item in plan.items]


def test_a_cache_is_kept_after_its_repositorys_last_run(appliance: ApplianceUnderTest) -> None:
    """For REPOSITORY_CACHE_RETENTION; at once if there are no caches any more, or the disk is nearly full."""
    run = appliance.run()
    found = (appliance.slug.lower(), run.completed_at)
    assert caches(appliance) == []
    assert caches(appliance, all_caches=True) == [found]
    assert caches(appliance, repository_cache_bytes=0) == [found]
    appliance.clock.advance(days=13)
    assert caches(appliance) == []
    appliance.clock.advance(days=2)
    assert caches(appliance) == [found]
    (item,) = make_plan(appliance.resources, {Kind.REPOSITORY_CACHE}).items
    assert [name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-")] == item.names


def test_a_cache_of_a_repository_with_a_run(appliance: ApplianceUnderTest) -> None:
    """A queued run keeps it, unless its space is needed; a run in progress keeps it in any case."""
    appliance.run()
    appliance.clock.advance(days=20)
    run = appliance.submit()
    assert caches(appliance) == []
    assert len(caches(appliance, all_caches=True)) == 1
    appliance.take(run)
    assert caches(appliance, all_caches=True, repository_cache_bytes=0) == []


def test_a_cache_without_a_run(appliance: ApplianceUnderTest) -> None:
    """Its age is that of its volume; if that is unknown, it goes. Another appliance's is not listed."""
    ours = CACHE | {LABEL_APPLIANCE: appliance.resources.appliance_id}
    appliance.engine.ensure_volume("ours", ours)
    appliance.engine.ensure_volume("theirs", CACHE | {LABEL_APPLIANCE: "another"})
    assert caches(appliance) == [("acme/unknown", None)]
    appliance.engine.volume_data["ours"].created_at = NOW
    assert caches(appliance) == []
    appliance.clock.advance(days=15)
    assert caches(appliance) == [("acme/unknown", NOW)]
