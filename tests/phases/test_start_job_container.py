"""The two containers: what they may reach, and the lock of the shard."""

from pathlib import Path

from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_REPOSITORY,
    LABEL_ROLE,
    LABEL_RUN,
    ContainerSpec,
    Limits,
    Mount,
    PhaseName,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.models.container_paths import CACHE_FOLDER
from moonmind_appliance.phases.start_job_container import agent_spec, git_spec
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.fakes import ANN
from tests.in_container.sent import job_of
from tests.phases.contexts import make_context
from tests.scripted_acts import (
    with_login,
)


def test_a_run_waits_for_a_shard_in_use_by_another_process(appliance: ApplianceUnderTest) -> None:
    """The run names the user of the lock, starts later, and never changes that container."""
    run = appliance.submit(shard=0)
    lock = appliance.resources.shards[0].lock
    appliance.engine.ensure_network("jobs", {})
    held = {LABEL_APPLIANCE: "another", LABEL_ROLE: "agent", LABEL_RUN: "theirs"}
    appliance.store.shards.change(0, with_login)
    appliance.engine.start(
        ContainerSpec(
            name=lock, image=next(iter(appliance.engine.images)), command=["x"], labels=held, limits=Limits(1, 1, 1)
        )
    )
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.detail) == (WaitReason.SHARD_BUSY, f"{lock} is in use by run theirs")
    assert appliance.containers() == [lock]
    appliance.engine.remove(lock)
    appliance.clock.advance(seconds=16)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_run_waits_for_the_file_of_the_authorities(appliance: ApplianceUnderTest, tmp_path: Path) -> None:
    """It existed at the start, else `serve` would have refused the setting. A person can put it back."""
    ca_file = tmp_path / "ca.pem"
    appliance.after(extra_ca_certs=ca_file)
    run = appliance.submit(shard=0)
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.detail) == (
        WaitReason.DISK,
        f"The file {ca_file} of EXTRA_CA_CERTS cannot be read: No such file or directory.",
    )
    ca_file.write_bytes(b"certificates")
    appliance.clock.advance(seconds=16)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_only_the_git_container_has_the_repositorys_cache(appliance: ApplianceUnderTest) -> None:
    """One volume for all runs of the repository, without a run's label."""
    started = []
    for _ in range(2):
        appliance.engine.calls.clear()
        run = appliance.run()
        assert ends(run) == (RunStatus.SUCCEEDED, None)
        started.append(run.phase(PhaseName.START_JOB_CONTAINER).metadata)
    assert "cache" not in str(started)
    (name,) = (name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-"))
    assert appliance.engine.volume_data[name].labels == {
        LABEL_APPLIANCE: appliance.resources.appliance_id,
        LABEL_ROLE: "cache",
        LABEL_REPOSITORY: appliance.slug.lower(),
    }
    ctx = make_context(run={"repository": appliance.slug, "phases": run.phases})
    cache = Mount(str(ctx.cache_volume), CACHE_FOLDER)
    assert cache in git_spec(ctx).mounts
    assert cache.volume not in {mount.volume for mount in agent_spec(ctx).mounts}


def test_a_lost_cache_restarts_nothing(appliance: ApplianceUnderTest) -> None:
    """The run continues at its failed phase: only the run's own volumes count."""
    appliance.agent.acts[PhaseName.SPECKIT_PLAN] = [lambda _process: {"verdict": "failed"}]
    run = appliance.run()
    (name,) = (name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-"))
    appliance.engine.remove_volume(name)
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs.count("clone") == 1
    assert name in appliance.engine.volume_data


def test_without_a_limit_there_is_no_cache(appliance: ApplianceUnderTest) -> None:
    """REPOSITORY_CACHE_BYTES=0 turns it off."""
    appliance.after(repository_cache_bytes=0)
    jobs = []
    appliance.git_acts["clone"] = [lambda process: jobs.append(job_of(process.spec))]
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)
    assert not [name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-")]
    assert "cache" not in jobs[0]
