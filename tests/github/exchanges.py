"""A transport that records every HTTP exchange."""

import httpx

from tests.github.openapi import Exchange


class Recorder(httpx.BaseTransport):
    """Real HTTP; `exchanges` grows with each answer. `root` is the API's path on the server."""

    def __init__(self, root: str = "/api/v3") -> None:
        self.exchanges: list[Exchange] = []
        self.requests: list[httpx.Request] = []
        self._root = root
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self._wire.handle_request(request)
        received = response.read()
        path = request.url.raw_path.decode("ascii").removeprefix(self._root)
        self.exchanges.append(Exchange(request.method, path, request.read(), response.status_code, received))
        return response

    def close(self) -> None:
        self._wire.close()
