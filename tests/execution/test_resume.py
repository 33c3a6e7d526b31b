"""Which phases an attempt runs, for every state that an earlier one may have left."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.execution.resume import phases_after_loss, phases_to_do
from moonmind_appliance.models import (
    PHASE_ORDER,
    Actor,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
)
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.scripted_acts import (
    PLAN,
    SPECIFY,
    TASKS,
    interrupt_after,
)

DONE = {PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED}
IN_CONTAINERS = {
    PhaseName.GIT_CLONE,
    PhaseName.SPECKIT_SPECIFY,
    PhaseName.SPECKIT_PLAN,
    PhaseName.SPECKIT_TASKS,
    PhaseName.COMMIT_PUSH,
}
START = PhaseName.START_JOB_CONTAINER
BEFORE_CLEANUP = [name for name in PHASE_ORDER if name is not PhaseName.CLEANUP]


def run(states: dict[PhaseName, PhaseStatus]) -> Run:
    return Run(
        run_id="r",
        repository="a/b",
        specify_text="x",
        accepted_at=datetime(2026, 3, 1, tzinfo=UTC),
        created_by=Actor("local:a", "a"),
        phases=[Phase(phase=name, status=states.get(name, PhaseStatus.PENDING)) for name in PHASE_ORDER],
    )


def up_to(last: PhaseName | None) -> dict[PhaseName, PhaseStatus]:
    done = PHASE_ORDER[: PHASE_ORDER.index(last) + 1] if last else ()
    return dict.fromkeys(done, PhaseStatus.SUCCEEDED)


TABLE = {
    None: BEFORE_CLEANUP,
    PhaseName.PREPARE_JOB: BEFORE_CLEANUP[1:],
    PhaseName.START_JOB_CONTAINER: BEFORE_CLEANUP[1:],
    PhaseName.GIT_CLONE: BEFORE_CLEANUP[1:],
    PhaseName.SPECKIT_SPECIFY: [START, *BEFORE_CLEANUP[4:]],
    PhaseName.SPECKIT_PLAN: [START, *BEFORE_CLEANUP[5:]],
    PhaseName.SPECKIT_TASKS: [START, *BEFORE_CLEANUP[6:]],
    PhaseName.COMMIT_PUSH: [PhaseName.OPEN_PR],
    PhaseName.OPEN_PR: [],
    PhaseName.CLEANUP: [],
}


@pytest.mark.parametrize("last", TABLE)
def test_a_run_continues_after_its_last_finished_phase(last: PhaseName | None) -> None:
    """With containers if a phase needs them, and a new clone if `specify` is not done."""
    assert phases_to_do(run(up_to(last))) == TABLE[last]


STATES = st.fixed_dictionaries({name: st.sampled_from(PhaseStatus) for name in PHASE_ORDER})


@given(STATES)
def test_any_state_gives_an_order_that_can_be_run(states: dict[PhaseName, PhaseStatus]) -> None:
    """In order, each phase once, never `cleanup`, containers before what needs them, nothing published twice."""
    to_do = phases_to_do(run(states))
    assert to_do == sorted(set(to_do), key=PHASE_ORDER.index)
    assert PhaseName.CLEANUP not in to_do
    assert (START in to_do) is bool(IN_CONTAINERS & set(to_do))
    for published in (PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR):
        if states[published] in DONE and published not in to_do:
            assert not (set(to_do) & set(PHASE_ORDER[: PHASE_ORDER.index(published)]))
    if states[PhaseName.OPEN_PR] in DONE:
        assert to_do == []


@given(STATES)
def test_what_is_not_done_is_done_and_so_is_all_that_builds_on_it(states: dict[PhaseName, PhaseStatus]) -> None:
    """After the first phase to do, no phase is left out, unless it was published."""
    to_do = [name for name in phases_to_do(run(states)) if name is not START]
    if to_do:
        first = BEFORE_CLEANUP.index(to_do[0])
        assert to_do == [name for name in BEFORE_CLEANUP[first:] if name is not START]
    published = states[PhaseName.OPEN_PR] in DONE or states[PhaseName.COMMIT_PUSH] in DONE
    open_phases = [name for name in BEFORE_CLEANUP if states[name] not in DONE and name is not START]
    if not published:
        assert set(open_phases) <= set(to_do)


@given(STATES)
def test_the_clone_is_new_whenever_specify_runs(states: dict[PhaseName, PhaseStatus]) -> None:
    """`specify` must not find the incomplete feature of an interrupted attempt."""
    to_do = phases_to_do(run(states))
    if PhaseName.SPECKIT_SPECIFY in to_do:
        assert PhaseName.GIT_CLONE in to_do


@given(STATES)
def test_lost_volumes_bring_back_everything_that_was_made_in_them(states: dict[PhaseName, PhaseStatus]) -> None:
    """From the clone, in order; earlier phases only if they were to do anyway."""
    to_do = phases_to_do(run(states))
    if START not in to_do:
        return
    later = to_do[to_do.index(START) + 1 :]
    again = phases_after_loss(later)
    assert again == BEFORE_CLEANUP[BEFORE_CLEANUP.index(PhaseName.GIT_CLONE) :]
    assert set(later) <= set(again)


@pytest.mark.parametrize("phase", [name for name in PHASE_ORDER if name is not PhaseName.CLEANUP])
def test_a_run_interrupted_after_a_phase_continues_with_the_next(
    appliance: ApplianceUnderTest, phase: PhaseName
) -> None:
    """Finished phases are not repeated, except the containers, and the clone that `specify` starts from."""
    run = appliance.submit()
    interrupt_after(appliance, run, phase)
    appliance.agent.turns.clear()
    appliance.git_verbs.clear()
    appliance.work()
    done = PHASE_ORDER.index(phase)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [name for name in (SPECIFY, PLAN, TASKS) if PHASE_ORDER.index(name) > done]
    assert ("clone" in appliance.git_verbs) is (done < PHASE_ORDER.index(SPECIFY))
    assert ("push" in appliance.git_verbs) is (done < PHASE_ORDER.index(PhaseName.COMMIT_PUSH))
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert appliance.containers() == []


@pytest.mark.parametrize("phase", [PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR])
def test_what_was_published_but_not_recorded_is_found(appliance: ApplianceUnderTest, phase: PhaseName) -> None:
    """The crash came between the push, or the opening of the pull request, and its record: there is still one."""
    run = appliance.submit()
    interrupt_after(appliance, run, phase, saved=False)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert pull.html_url == appliance.stored(run).pull_request_url
    assert appliance.containers() == []


def test_volumes_that_vanished_meanwhile_are_made_again(appliance: ApplianceUnderTest) -> None:
    """Pruned between two attempts: the run starts again at the clone, and an event reports it."""
    run = appliance.submit()
    interrupt_after(appliance, run, PLAN)
    for name in appliance.containers():
        appliance.engine.remove(name)
    for volume in (f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"):
        appliance.engine.remove_volume(volume)
    appliance.agent.turns.clear()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "clone", "stage", "push"]
    assert appliance.agent.turns == [SPECIFY, PLAN, TASKS]
    lost = [event for event in appliance.store.events.after(0, run_id=run.run_id) if event.kind == "run.workspace_lost"]
    assert [event.data["again"] for event in lost] == [["git_clone", "speckit_specify", "speckit_plan"]]


def test_one_lost_volume_is_as_bad_as_two(appliance: ApplianceUnderTest) -> None:
    """Without the private clone nothing of the workspace can be committed."""
    run = appliance.submit()
    interrupt_after(appliance, run, TASKS)
    for name in appliance.containers():
        appliance.engine.remove(name)
    appliance.engine.remove_volume(f"moonmind-git-{run.run_id}")
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "clone", "stage", "push"]


def test_volumes_that_vanish_after_the_commit_do_not_matter(appliance: ApplianceUnderTest) -> None:
    """The push is done: only the pull request remains, without any container."""
    run = appliance.submit()
    interrupt_after(appliance, run, PhaseName.COMMIT_PUSH)
    for name in appliance.containers():
        appliance.engine.remove(name)
    for volume in (f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"):
        appliance.engine.remove_volume(volume)
    appliance.engine.calls.clear()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert [name for method, name in appliance.engine.calls if method == "start"] == []
