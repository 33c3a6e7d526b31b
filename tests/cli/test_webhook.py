"""`webhook test`, and the messages of a real `serve` that is killed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.terminal import ROOT, Terminal
from tests.cli.test_serve import Serving, free_port
from tests.webhook_receiver import SECRET, answer, hang, receiving

STATUS = re.compile(r"^http://127\.0\.0\.1:\d+ accepted message msg_\w+: status 204 after \d\.\d\d s\.$")


def test_a_test_message_arrives(terminal: Terminal) -> None:
    """With its own type; the answer is shown."""
    with receiving() as receiver:
        called = terminal.call("webhook", "test", WEBHOOK_URL=receiver.url, WEBHOOK_SECRET=SECRET)
        shown = terminal.call("webhook", "test", "--json", WEBHOOK_URL=receiver.url, WEBHOOK_SECRET=SECRET)
    assert (called.code, shown.code) == (0, 0)
    assert STATUS.match(called.stdout.replace("\n", " ").strip())
    first, second = receiver.messages
    assert first.body["type"] == "appliance.test"
    assert (shown.json["message_id"], shown.json["status"]) == (second.id, 204)
    assert first.id != second.id


@pytest.mark.parametrize(("status", "code"), [(500, 1), (301, 1), (410, 1)])
def test_a_refusal_is_an_error(terminal: Terminal, status: int, code: int) -> None:
    """The line has the status; JSON has it, too."""
    with receiving(answer(status), answer(status)) as receiver:
        called = terminal.call("webhook", "test", "--json", WEBHOOK_URL=receiver.url, WEBHOOK_SECRET=SECRET)
    assert called.code == code
    assert called.json["status"] == status
    assert f"with status {status}" in called.stderr


def test_no_answer_is_an_error_of_its_own(terminal: Terminal) -> None:
    """Exit code 4, as for every dependency that is not available."""
    called = terminal.call("webhook", "test", WEBHOOK_URL=f"http://127.0.0.1:{free_port()}/", WEBHOOK_SECRET=SECRET)
    assert called.code == 4
    assert "refused" in called.stderr


def test_without_a_webhook(terminal: Terminal) -> None:
    """It says which setting is missing, and shows no secret."""
    called = terminal.call("webhook", "test", WEBHOOK_SECRET=SECRET)
    assert called.code == 3
    assert "WEBHOOK_URL is not set" in called.stderr
    called = terminal.call("webhook", "test", WEBHOOK_URL="https://h/x", WEBHOOK_SECRET=f"{SECRET}!")
    assert called.code == 3
    assert "WEBHOOK_SECRET" in called.stderr
    assert SECRET not in called.stderr


def test_a_kill_between_the_change_and_the_delivery_loses_nothing(terminal: Terminal) -> None:
    """A real `serve` is killed while the receiver hangs, a run is cancelled while it is down, and it starts again.

    The interrupted message arrives again with the same id; no log contains the secret.
    """
    token = terminal.call("token", "create", "--name", "me", "--json").json["token"]
    with receiving(hang) as receiver:
        variables = {"WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET}
        headers = {"Authorization": f"Bearer {token}"}
        with Serving(terminal, **variables) as serving, httpx.Client(headers=headers, trust_env=False) as client:
            body = {"repository": "acme/shop", "specify_text": "x"}
            first, second = (client.post(f"{serving.url}/runs", json=body).json()["run_id"] for _ in range(2))
            assert client.post(f"{serving.url}/runs/{first}/cancel").status_code == 202
            receiver.wait(1)
            serving.process.kill()
            _, log = serving.process.communicate()
        terminal.call("runs", "cancel", second)
        with Serving(terminal, **variables) as serving:
            receiver.wait(3)
            log += serving.stop().stderr
    about = [(message.type, message.body["data"].get("run_id")) for message in receiver.messages]
    assert about == [("run.cancelled", first), ("run.cancelled", first), ("run.cancelled", second)]
    assert receiver.messages[0].id == receiver.messages[1].id != receiver.messages[2].id
    assert SECRET.removeprefix("whsec_") not in log


def test_the_documented_receiver_verifies_a_message(terminal: Terminal, tmp_path: Path) -> None:
    """The example of docs/webhook.md, as a process of its own."""
    page = (ROOT / "docs" / "webhook.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PORT": str(port), "WEBHOOK_SECRET": SECRET},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    given = {"WEBHOOK_URL": f"http://127.0.0.1:{port}/"}
    try:
        for _ in range(100):
            called = terminal.call("webhook", "test", **given, WEBHOOK_SECRET=SECRET)
            if called.code != 4:
                break
        assert called.code == 0, called.stderr
        other = terminal.call("webhook", "test", **given, WEBHOOK_SECRET=f"whsec_{'A' * 43}")
        assert "status 401" in other.stderr
    finally:
        process.kill()
        stdout, _ = process.communicate()
    assert stdout.startswith("appliance.test {'appliance_version': ")
    assert len(stdout.splitlines()) == 1
