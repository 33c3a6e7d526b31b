import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import StandInOpenAI, Tokens


@pytest.fixture
def openai() -> Iterator[StandInOpenAI]:
    with StandInOpenAI("127.0.0.1") as stand_in:
        yield stand_in
        assert stand_in.internal_errors == []


@pytest.fixture
def client_of() -> Iterator[Callable[[StandInOpenAI], httpx.Client]]:
    """Clients like Codex: they use the proxy and trust only the stand-in's authority."""
    clients = []

    def make(stand_in: StandInOpenAI) -> httpx.Client:
        trusted = ssl.create_default_context(cadata=stand_in.ca_pem.decode())
        client = httpx.Client(proxy=stand_in.proxy_url, verify=trusted, trust_env=False, timeout=20)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(openai: StandInOpenAI, client_of: Callable[[StandInOpenAI], httpx.Client]) -> httpx.Client:
    return client_of(openai)


@pytest.fixture
def tokens(openai: StandInOpenAI) -> Tokens:
    """Tokens of the first account."""
    return openai.accounts.sign_in(openai.accounts[0])


@pytest.fixture
def bearer(tokens: Tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.access_token}"}


@pytest.fixture
def model_request() -> Callable[..., dict[str, object]]:
    """The body that Codex sends for a turn, as far as the stand-in reads it."""

    def make(
        prompt: str = "$speckit-specify\n\n# A health page",
        *,
        skills: tuple[str, ...] = ("speckit-specify",),
        outputs: tuple[str, ...] = (),
        turn_id: str = "turn-1",
        **changes: object,
    ) -> dict[str, object]:
        def message(role: str, text: str) -> dict[str, object]:
            return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

        listed = "\n".join(f"- {name}: what it is for. (file: r0/{name}/SKILL.md)" for name in skills)
        body: dict[str, object] = {
            "model": "gpt-6.1-sol",
            "stream": True,
            "store": False,
            "input": [
                {
                    "type": "additional_tools",
                    "role": "developer",
                    "tools": [
                        {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}
                    ],
                },
                message("developer", f"<skills_instructions>\n### Available skills\n{listed}\n</skills_instructions>"),
                message(
                    "user", "<environment_context>\n<current_date>2026-11-23</current_date>\n</environment_context>"
                ),
                message("user", prompt),
                *(message("user", f"<skill>\n<name>{name}</name>\n<path>x</path>\nwords</skill>") for name in skills),
                *(
                    {"type": "custom_tool_call_output", "output": [{"type": "input_text", "text": text}]}
                    for text in outputs
                ),
            ],
            "client_metadata": {"turn_id": turn_id, "thread_id": "thread-1"},
        }
        return {**body, **changes}

    return make
