"""`runs logs` over HTTP and on the data folder."""

from moonmind_appliance.models import PhaseName, PhaseStatus
from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_logs_are_printed_phase_by_phase(caller: Terminal, served: Served) -> None:
    """Codex's events are shown as text; as objects with --json; unchanged with --raw."""
    run_id = served.submit()
    event = '{"type":"item.completed","item":{"type":"agent_message","text":"All \\u001b[2Jdone."}}'
    served.keep(run_id, "speckit_plan.stdout.jsonl", f'{{"type":"turn.started"}}\n{event}\n'.encode())
    served.keep(run_id, "git_clone.stdout.log", b"cloned\n")
    assert caller.call("runs", "logs", run_id).stdout.splitlines() == [
        "── git_clone stdout",
        "cloned",
        "── speckit_plan stdout",
        "All done.",
    ]
    raw = caller.call("runs", "logs", run_id, "--phase", "speckit_plan", "--stream", "stdout", "--raw").stdout
    assert raw.splitlines()[1] == event
    objects = caller.call("runs", "logs", run_id, "--phase", "git_clone", "--json").lines
    assert objects == [{"phase": "git_clone", "stream": "stdout", "attempt": 1, "line": "cloned"}]


def test_logs_are_followed_to_the_end(caller: Terminal, served: Served) -> None:
    """A phase's output comes before the end; then the command ends."""
    run_id = served.submit()
    served.take(run_id)
    artifact = served.keep(run_id, "git_clone.stdout.log", b"one\ntwo\n")
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.RUNNING, stdout_path=artifact.storage_path)
    served.phase(run_id, PhaseName.GIT_CLONE, PhaseStatus.SUCCEEDED, stdout_path=artifact.storage_path)
    served.finish(run_id)
    lines = caller.call("runs", "logs", run_id, "--follow", "--json").lines
    assert [(line["phase"], line["line"]) for line in lines] == [("git_clone", "one"), ("git_clone", "two")]
