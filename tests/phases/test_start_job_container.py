"""The two containers: what they may reach, and the lock of the shard."""

from pathlib import Path

from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_ROLE,
    LABEL_RUN,
    ContainerSpec,
    Limits,
    RunStatus,
    WaitReason,
)
from tests.appliance_under_test import ApplianceUnderTest, ends
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
