"""The GitHub token goes to the configured server and to no other, whatever that server answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tests.in_container.git_fixture import GitRun, git_run_folders

STATUSES = (301, 302, 303, 307, 308)


class Recorder:
    """A server that records each request's path and Authorization header; `answer` returns status and headers."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str]]], host: str = "127.0.0.1") -> None:
        self.requests: list[tuple[str, str | None]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorder.requests.append((self.path, self.headers.get("Authorization")))
                status, headers = answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Recorder"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@pytest.fixture
def thief() -> Iterator[Recorder]:
    """The target of the redirects: another host name and another port."""
    with Recorder(lambda _: (404, {}), host="127.0.0.2").running() as made:
        yield made


@contextmanager
def redirecting(target: str, status: int) -> Iterator[Recorder]:
    with Recorder(lambda path: (status, {"Location": target + path})).running() as made:
        yield made


@contextmanager
def git_run_at(server: Recorder) -> Iterator[GitRun]:
    """The git container's program, with the token for this server."""
    address: Any = SimpleNamespace(server_url=server.url, clone_url=lambda slug: f"{server.url}/{slug}.git")
    with git_run_folders(address) as git_run:
        yield git_run


@pytest.mark.parametrize("status", STATUSES)
def test_a_clone_does_not_follow_a_redirect(thief: Recorder, status: int) -> None:
    """Git sends one request with the token to the configured server, and fails; the other host gets no request."""
    with redirecting(thief.url, status) as server, git_run_at(server) as git_run:
        answer = git_run.run("clone")
    assert answer.code == 1
    assert str(status) in answer.stderr
    assert [authorization is not None for _, authorization in server.requests] == [True]
    assert thief.requests == []


def test_a_push_does_not_follow_a_redirect(git_run: GitRun, thief: Recorder) -> None:
    """The same for the query before a push; it ends there."""
    git_run.host()
    git_run.clone()
    git_run.specify()
    commit = git_run.stage().result["commit"]
    with redirecting(thief.url, 302) as server:
        moved: Any = SimpleNamespace(server_url=server.url, clone_url=lambda slug: f"{server.url}/{slug}.git")
        git_run.github = moved
        answer = git_run.push(commit)
    assert answer.code == 1
    assert len(server.requests) == 1
    assert thief.requests == []


def test_a_redirect_of_the_same_server_is_not_followed_either(thief: Recorder) -> None:
    """A server that can choose the path can choose another repository."""
    with redirecting("", 302) as server, git_run_at(server) as git_run:
        answer = git_run.run("clone")
    assert answer.code == 1
    assert len(server.requests) == 1
