"""The program of a broker's container: what it prints first, and when it does not start."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.broker_request import HOSTS
from moonmind_appliance.in_container.egress_listen import hand_over
from moonmind_appliance.in_container.egress_rules import PROXY_VARIABLE
from moonmind_appliance.rehearsal.openai.accounts import Accounts, sample_accounts
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from moonmind_appliance.rehearsal.openai.proxy import ConnectProxy
from tests.in_container.broker_served import login_file
from tests.in_container.egress_served import Loop, listen, read_all

# In the container it is sent as source; here its library is among the tests' packages.
START = """
import json, sys
from moonmind_appliance.in_container.login_broker import main
sys.exit(main(json.loads(sys.argv[1])))
"""


def program(
    home: Path, volume: Path, path: Path, *, proxy: str = "", ca_file: Path | None = None
) -> "subprocess.Popen[bytes]":
    """The program, which waits at that path for the socket."""
    job: dict[str, Any] = {
        "socket": str(path),
        "seconds": 10.0,
        "hosts": ["chatgpt.com", "auth.openai.com"],
        "allow": [],
        "no_proxy": "",
        "ca_file": None,
        "idle_seconds": 5,
        "broker": {"command": ["false"], "seconds": 5, "ca_file": ca_file and str(ca_file)},
    }
    env = {**os.environ, "HOME": str(home), "CODEX_HOME": str(volume), PROXY_VARIABLE: proxy}
    argv = [sys.executable, "-c", START, json.dumps(job)]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def signed_in(volume: Path) -> Path:
    """A login volume with a login of ChatGPT, and a file that an agent left in it."""
    accounts = Accounts(sample_accounts(1))
    (volume / "auth.json").write_bytes(login_file(accounts.sign_in(accounts[0]), accounts[0]))
    (volume / "config.toml").write_text('chatgpt_base_url = "https://evil.invalid/"')
    return volume


def ask(listener: socket.socket, ca: str, host: str, what: str, *, headers: str = "", body: str = "") -> bytes:
    """The answer to an agent's request."""
    with socket.create_connection(listener.getsockname(), 10) as agent:
        agent.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
        agent.recv(1000)
        context = ssl.create_default_context(cadata=ca)
        with context.wrap_socket(agent, server_hostname=host) as secure:
            head = f"{what} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}"
            secure.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            return read_all(secure)


def test_the_first_line_has_what_the_agent_needs(home: Path, signed_in: Path, tmp_path: Path) -> None:
    """The authority and the dummy, with which the agent's refresh is answered. The volume is cleaned before."""
    (tmp_path / "shared").mkdir()
    path = tmp_path / "shared/x.sock"
    with socket.create_server(("127.0.0.1", 0)) as listener, program(home, signed_in, path) as running:
        try:
            assert hand_over(listener, str(path), 10)
            assert running.stdout is not None
            ready = json.loads(running.stdout.readline())
            assert (ready["ready"], list(ready["broker"])) == (True, ["ca", "login"])
            tokens = json.loads(ready["broker"]["login"])["tokens"]
            body = json.dumps({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
            answer = ask(listener, ready["broker"]["ca"], "auth.openai.com", "POST /oauth/token", body=body)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"] == tokens["access_token"]
            assert [each.name for each in signed_in.iterdir()] == ["auth.json"]
            assert list(home.iterdir()) == []
        finally:
            running.kill()


def test_requests_go_through_the_operators_proxy(home: Path, signed_in: Path, tmp_path: Path) -> None:
    """To a server of which only the operator's authorities know the certificate."""
    made = make_certificates(HOSTS)
    for name, content in (("cert", made.server), ("key", made.server_key), ("ca", made.ca)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    (tmp_path / "shared").mkdir()
    path = tmp_path / "shared/x.sock"
    with Loop() as loop, socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ConnectProxy(HOSTS, ("127.0.0.1", loop.call(listen(serve, ssl=context))))
        url = f"http://127.0.0.1:{loop.call(proxy.start('127.0.0.1', 0))}"
        with program(home, signed_in, path, proxy=url, ca_file=tmp_path / "ca") as running:
            try:
                assert hand_over(listener, str(path), 10)
                assert running.stdout is not None
                broker = json.loads(running.stdout.readline())["broker"]
                dummy = json.loads(broker["login"])["tokens"]["access_token"]
                bearer = f"Authorization: Bearer {dummy}\r\n"
                answer = ask(listener, broker["ca"], "chatgpt.com", "GET /backend-api/codex/models", headers=bearer)
                assert answer.endswith(b"\r\n\r\nok")
            finally:
                running.kill()
                loop.call(proxy.stop())
    real = json.loads((signed_in / "auth.json").read_bytes())["tokens"]["access_token"]
    assert [f"Bearer {real}".encode() in head for head in heads] == [True]


def problem_of(home: Path, volume: Path, path: Path) -> str:
    """Why the program ended."""
    stdout, _ = (running := program(home, volume, path)).communicate(timeout=20)
    assert running.returncode == 1
    return str(json.loads(stdout)["broker_problem"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "The shard has no login."),
        (b"{}", "The shard's login file contains no login."),
        (b'{"OPENAI_API_KEY": "sk-x"}', "The shard's login is an API key."),
        (b'{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-x", "tokens": {}}', "The shard's login is an API key."),
    ],
)
def test_without_a_login_of_chatgpt_it_does_not_start(
    home: Path, volume: Path, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """It says why, and has not waited for the agent's container."""
    (volume / "auth.json").unlink()
    if content is not None:
        (volume / "auth.json").write_bytes(content)
    assert problem_of(home, volume, tmp_path / "x.sock") == problem


def test_it_does_not_work_in_a_folder_that_the_agent_can_read(home: Path, signed_in: Path) -> None:
    """Its HOME gets copies of the login during a renewal."""
    problem = problem_of(home, signed_in, home / "x.sock")
    assert problem == "The broker's HOME is in a folder that the agent can read."
