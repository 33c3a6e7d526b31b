"""Git over HTTP as GitHub serves it: tokens, refusals with GitHub's messages, and the real `git http-backend`.

The CGI side is described in git-http-backend(1); it streams packs in both directions.
"""

import asyncio
import json
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from litestar.types import Receive, Send

from moonmind_appliance.rehearsal.github.access_refusals import AccessRefusal, access_refusal
from moonmind_appliance.rehearsal.github.apps import covers
from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.push_refusals import PROTECTED_BRANCH, PUSH_REFUSALS, PUSH_WARNING
from moonmind_appliance.rehearsal.github.refusals import forbidden, suspended
from moonmind_appliance.rehearsal.github.state import Access, GitHubState, HostedRepository, basic_credentials, token_of

_PATH = re.compile(
    r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/(?P<service>info/refs|git-upload-pack|git-receive-pack)"
)
_CHUNK = 64 * 1024

Scope = Mapping[str, Any]


class _Call(NamedTuple):
    """A Git request that the rules allow."""

    scope: Scope
    headers: Mapping[str, str]
    repository: HostedRepository
    access: Access | None
    service: str


class GitHTTP:
    """An ASGI app for the paths that `serves` knows."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def serves(self, path: str) -> bool:
        """Whether the path belongs to Git over HTTP."""
        return _PATH.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one Git request."""
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            raise ValueError("not a path of git's")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        service = match["service"]
        pushes = "git-receive-pack" in (service, query.removeprefix("service="))
        authorization = headers.get("authorization", "")
        token = token_of(authorization) if basic_credentials(authorization) else None
        access = self._state.access(token) if token else None
        repository = self._state.by_slug(f"{match['owner']}/{match['name']}")

        if authorization and access is None:
            message = "Invalid username or token. Password authentication is not supported for Git operations."
            await _refuse(send, 401, message, challenge=True)
        elif repository is None or not self._state.may_see(repository, access):
            # A caller without credentials gets 401; one with credentials gets 404.
            await _refuse(send, 404 if access else 401, "Repository not found.", challenge=access is None)
        elif refusal := self._refusal(repository, access, pushes=pushes):
            await _refuse(send, refusal.git_status, refusal.git_text)
        elif service == "info/refs" and f"{match['owner']}/{match['name']}".lower() != repository.slug.lower():
            # Only the first request is redirected: git continues with the old name after a request for a password.
            location = f"{self._state.server_url}/{repository.slug}.git/{service}" + (f"?{query}" if query else "")
            await _refuse(send, 301, "", location=location)
        elif pushes and access is None:
            await _refuse(send, 401, "No anonymous write access.", challenge=True)
        elif pushes and not self._state.may_push(repository, access):
            login = access.login if access else ""
            await _refuse(send, 403, f"Permission to {repository.slug}.git denied to {login}.")
        elif pushes and repository.archived:
            await _refuse(send, 403, "This repository was archived so it is read-only.")
        elif service == "info/refs" and query not in ("service=git-upload-pack", "service=git-receive-pack"):
            await _refuse(send, 403, "Please upgrade your git client.")
        else:
            call = _Call(scope, headers, repository, access, service)
            if service == "git-receive-pack":
                await self._push(call, receive, send)
            else:
                await self._run(call, receive, send)
            # Before the end of the answer: the effects of a push are complete when git reports its end.
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _refusal(self, repository: HostedRepository, access: Access | None, *, pushes: bool) -> AccessRefusal | None:
        """Why the token may not access a repository that is visible to it."""
        if access is not None and access.suspended:
            return AccessRefusal(suspended(), suspended().body["message"])
        if access is not None and not access.allows("contents:write" if pushes else "contents:read"):
            message = "Write access to repository not granted."
            return AccessRefusal(forbidden(""), message)
        return access_refusal(self._state.faults, repository.owner)

    async def _push(self, call: _Call, receive: Receive, send: Send) -> None:
        bare = call.repository.bare
        before = await asyncio.to_thread(bare.heads)
        await self._run(call, receive, send)
        after = await asyncio.to_thread(bare.heads)
        if before != after:
            await asyncio.to_thread(self._state.branches_pushed, call.repository, before, after)

    async def _run(self, call: _Call, receive: Receive, send: Send) -> None:
        scope, headers, bare = call.scope, call.headers, call.repository.bare
        environment = {
            **self._state.git.environment,
            "GIT_PROJECT_ROOT": str(bare.path.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REQUEST_METHOD": scope["method"],
            "PATH_INFO": f"/{bare.path.name}/{call.service}",
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REMOTE_USER": call.access.login if call.access else "",
            "REMOTE_ADDR": scope["client"][0] if scope.get("client") else "",
        }
        if "content-length" in headers:
            environment["CONTENT_LENGTH"] = headers["content-length"]
        if call.service == "git-receive-pack" and call.access is not None:
            environment |= self._push_rules(call.repository, call.access)
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
        )
        feeding = asyncio.create_task(_feed(process, receive))
        discarding = asyncio.create_task(_drain(process))
        try:
            await _answer(process, send)
            await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                process.terminate()  # http-backend then ends its own children
            raise
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, discarding, process.wait(), return_exceptions=True)

    def _push_rules(self, repository: HostedRepository, access: Access) -> dict[str, str]:
        """The environment with which git calls `push_rules.py`, if a rule can refuse the push."""
        occurs = self._state.faults.take
        rules = {
            "decline": next((PUSH_REFUSALS[fault] for fault in PUSH_REFUSALS if occurs(fault)), None),
            "warning": PUSH_WARNING if occurs(Fault.PUSH_WARNING) else "",
            "protected": sorted(repository.protected),
            "protection": PROTECTED_BRANCH,
            "workflow_scope": "workflow" in access.scopes or covers(access.permissions or {}, "workflows", "write"),
            "app": access.is_app,
        }
        if rules["workflow_scope"] and not any(rules[name] for name in ("decline", "protected", "warning")):
            return {}
        return {
            "REHEARSAL_PUSH_RULES": json.dumps(rules),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "receive.procReceiveRefs",
            "GIT_CONFIG_VALUE_0": "refs/heads",
        }


async def _refuse(
    send: Send, status: int, message: str, *, challenge: bool = False, location: str | None = None
) -> None:
    """Send a short answer in plain text: git shows it after "remote:"."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(message.encode()))]
    if challenge:
        headers.append((b"www-authenticate", b'Basic realm="GitHub"'))
    if location:
        headers.append((b"location", location.encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": message.encode(), "more_body": False})


async def _feed(process: Process, receive: Receive) -> None:
    """Pass the request's body on; a caller that disconnects ends the input."""
    stdin = process.stdin
    if stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                with suppress(ProcessLookupError):
                    process.terminate()
                break
            stdin.write(message["body"])
            await stdin.drain()
            more = message["more_body"]
        stdin.close()


async def _drain(process: Process) -> None:
    if process.stderr is not None:
        while await process.stderr.read(_CHUNK):
            pass


async def _answer(process: Process, send: Send) -> None:
    """Convert CGI headers to HTTP's, and pass the body on, without its end."""
    stdout = process.stdout
    if stdout is None:
        return
    try:
        head = await stdout.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        return
    status = 200
    headers = []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        elif name:
            headers.append((name.lower(), value.strip()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk := await stdout.read(_CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
