"""The login broker's connections: what the agent sends in a tunnel to OpenAI, and what it gets back."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

from moonmind_appliance.in_container.broker_authority import Authority
from moonmind_appliance.in_container.broker_http import AgentSide, AnswerHead, Head, ServiceSide
from moonmind_appliance.in_container.broker_login import Dummy, Login, NoLogin
from moonmind_appliance.in_container.broker_renewal import Renewal
from moonmind_appliance.in_container.broker_report import Answer, Report
from moonmind_appliance.in_container.broker_request import BODY_LIMIT, Action, Headers, check_request, real_headers
from moonmind_appliance.in_container.broker_tls import begin_tls, close, end_tls
from moonmind_appliance.in_container.egress_proxy import Limits, Tunnel, answer_error, discard
from moonmind_appliance.in_container.egress_record import ALLOWED, FAILED, REFUSED, Record
from moonmind_appliance.in_container.egress_request import Refused
from moonmind_appliance.in_container.egress_upstream import Failed, Streams

_PORT = 443
_REFRESH_LIMIT = 16 * 1024
Connect = Callable[[], Awaitable[Streams]]


class Parts(NamedTuple):
    """What a broker consists of. `service` is the TLS context for connections to OpenAI."""

    authority: Authority
    dummy: Dummy
    renewal: Renewal
    report: Report
    service: ssl.SSLContext


class LoginBroker:
    """Answers the requests to OpenAI: those of Codex with the real login, all others with an error."""

    def __init__(self, parts: Parts, record: Record, limits: Limits) -> None:
        self.parts = parts
        self.record = record
        self.limits = limits

    def serves(self, host: str, port: int) -> bool:
        """Whether the target is one of its hosts."""
        return port == _PORT and host in self.parts.authority.servers

    async def serve(self, tunnel: Tunnel, host: str, agent: Streams, connect: Connect) -> None:
        """Serve an open tunnel until one side ends."""
        target = f"{host}:{_PORT}"
        try:
            streams = await end_tls(agent, self.parts.authority.servers[host], self.limits.hello)
        except OSError:
            self.record.count(target, REFUSED, "no TLS for this host")
            return
        tunnel.entry = self.record.count(target, ALLOWED)
        session = _Session(self, tunnel, host, streams, connect)
        working = asyncio.create_task(session.run())
        # If the agent disconnects, the request to OpenAI ends as well.
        gone = asyncio.create_task(streams[1].wait_closed())
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, gone):
                task.cancel()
            error, _ = await asyncio.gather(working, gone, return_exceptions=True)
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # Only its type: the text could contain what was sent.
                sys.stderr.write(f"The login broker met {type(error).__name__}.\n")
            self.record.touch(tunnel.entry)
            session.abort_service()
            await close(streams[1])


class _Session:
    """The requests of one connection."""

    def __init__(self, broker: "LoginBroker", tunnel: Tunnel, host: str, streams: Streams, connect: Connect) -> None:
        self._parts, self._record, self._limits = broker.parts, broker.record, broker.limits
        self._tunnel = tunnel
        self._host = host
        self._reader, self._writer = streams
        self._connect = connect
        self._agent = AgentSide(tunnel, streams, self._limits.head)
        self._service: ServiceSide | None = None

    async def run(self) -> None:
        """Answer requests until the agent or an error ends the connection."""
        try:
            while await self._next():
                pass
            if self._agent.is_sending():
                await discard(self._reader, BODY_LIMIT)
        except Refused as refused:
            self._record.count(refused.shown or f"https://{self._host}", REFUSED, refused.reason)
            await self._fail(refused.status, refused.reason)
        except (Failed, NoLogin) as failed:
            if self._writer.is_closing():
                return  # the agent has disconnected
            if not self._agent.has_answer:
                self._record.count(f"{self._host}:{_PORT}", FAILED, str(failed))
            await self._fail(HTTPStatus.BAD_GATEWAY, str(failed))

    async def _fail(self, status: HTTPStatus, reason: str) -> None:
        if self._agent.has_answer:
            # The agent must notice that the answer is not complete.
            self._writer.transport.abort()
            return
        await answer_error(self._writer, status, reason)
        await discard(self._reader, BODY_LIMIT)

    async def _next(self) -> bool:
        """Answer the next request. Whether another one may follow."""
        head = await self._agent.request()
        if head is None:
            return False
        headers = list(head.headers.raw_items())
        request = check_request(self._host, head.method, head.target, headers, self._parts.dummy.is_bearer)
        if request.action is Action.REFUSE_WEBSOCKET:
            # Codex then uses HTTP at once, and only HTTP shows the reason of a refusal.
            await self._agent.answer(HTTPStatus.UPGRADE_REQUIRED, [(b"Content-Length", b"0")], b"Upgrade Required")
            return await self._agent.end()
        if request.action is Action.REFRESH:
            return await self._refresh()
        service, response, login = await self._forward(head, headers)
        received = list(response.headers.raw_items())
        answer = Answer(request.path, response.status_code, received)
        self._parts.report.begins(answer)
        stream = service.answer()
        # The line is printed before the agent gets any of the answer, so that it is there when the turn ends.
        beginning = await self._report(answer, login, stream) if answer.is_kept else []
        await self._agent.answer(response.status_code, received, response.reason)
        for data in beginning:
            await self._agent.send(data)
        async for data in stream:
            await self._agent.send(data)
        return await self._agent.end()

    async def _report(self, answer: Answer, login: Login, stream: AsyncIterator[bytes]) -> list[bytes]:
        """Report the answer with the beginning of its body; returns that beginning."""
        found = []
        try:
            async for data in stream:
                found.append(data)
                if not answer.add(data):
                    break
        finally:
            answer.renewed = answer.status == HTTPStatus.UNAUTHORIZED and not self._parts.renewal.is_current(login)
            self._parts.report.ends(answer)
        return found

    async def _forward(self, head: Head, headers: Headers) -> tuple[ServiceSide, AnswerHead, Login]:
        """Send the request with the real login; if OpenAI refuses that, renew it first.

        Codex itself repeats a request with a body, after it has refreshed its dummy.
        """
        # Empty at the second attempt: only a GET, which has no body, is repeated here.
        body = self._agent.body()
        for attempt in range(2):
            login = await self._parts.renewal.login()
            service = await self._connected()
            sent = real_headers(headers, login.access_token, login.account_id)
            response = await service.request(head.method, head.target, sent, body)
            if response.status_code != HTTPStatus.UNAUTHORIZED or attempt:
                break
            if not await self._parts.renewal.refused(login) or head.method != b"GET":
                break
            self.abort_service()
        return service, response, login

    async def _refresh(self) -> bool:
        """Answer Codex's refresh of its dummy: with the same one, and without any effect."""
        body = b"".join([data async for data in self._agent.body(_REFRESH_LIMIT)])
        if not self._parts.dummy.is_refresh(body):
            raise Refused(HTTPStatus.FORBIDDEN, "not the login of this run", f"https://{self._host}/oauth/token")
        # Without this refusal Codex would try again and again with a dummy that does not help.
        dead = self._parts.renewal.is_dead()
        status = HTTPStatus.UNAUTHORIZED if dead else HTTPStatus.OK
        answer = self._parts.dummy.refused() if dead else self._parts.dummy.refreshed()
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(answer))]
        await self._agent.answer(status, headers, status.phrase.encode())
        await self._agent.send(answer)
        return await self._agent.end()

    async def _connected(self) -> ServiceSide:
        if self._service is None or not self._service.is_usable():
            self.abort_service()
            streams = await self._connect()
            self._tunnel.writers.append(streams[1])
            streams = await begin_tls(streams, self._parts.service, self._host, self._limits.hello)
            self._tunnel.writers.append(streams[1])
            self._service = ServiceSide(self._tunnel, streams)
        return self._service

    def abort_service(self) -> None:
        """Close the connection to OpenAI at once."""
        for writer in self._tunnel.writers[1:]:
            writer.transport.abort()
        del self._tunnel.writers[1:]
        self._service = None
