"""Reads a request to the model: its turn, its skills, its prompt, and the outputs so far.

The shape of `input` is that of Codex CLI 0.169.0 with its default model, whose tools are in an item of their own,
`additional_tools`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from moonmind_appliance.rehearsal.openai.accounts import Account
from moonmind_appliance.rehearsal.openai.response_script import SKILLS, ScriptedResponse

_SKILL = re.compile(r"\A<skill>\s*<name>([^<]+)</name>")
_OFFERED = re.compile(r"^- ([\w.-]+): ", re.MULTILINE)
_TODAY = re.compile(r"<current_date>(\d{4}-\d\d-\d\d)</current_date>")
_NESTED = re.compile(r"^declare const tools: \{ (\w+)\(", re.MULTILINE)
_PROMPT = re.compile(r"\A\$([\w-]+)[ \t]*(?:\r?\n){0,2}")
_HARNESS = ("<skill>", "<environment_context>", "<user_instructions>", "# AGENTS.md instructions")


@dataclass
class Turn:
    """One turn of Codex, as the stand-in received it.

    `skills` were sent with their content, `offered_skills` were listed; `prompt` is the user's message, byte for byte,
    and `text` what follows the skill's name in it. `phase` is the one skill that was sent, None for none or several.
    `requests` counts retries, too; `finished` is true after the final message was sent completely.
    """

    turn_id: str
    thread_id: str
    account: Account
    model: str
    skills: tuple[str, ...]
    offered_skills: tuple[str, ...]
    prompt: str
    scripted: ScriptedResponse
    requests: int = 0
    tool_calls: int = 0
    finished: bool = False
    tools: frozenset[str] = field(default_factory=frozenset)

    @property
    def phase(self) -> str | None:
        """The one skill that was sent."""
        return self.skills[0] if len(self.skills) == 1 else None

    @property
    def text(self) -> str:
        """The prompt without its skill's name and the blank line after it."""
        return _PROMPT.sub("", self.prompt, count=1)


@dataclass(frozen=True)
class ModelRequest:
    """A parsed request body."""

    turn_id: str
    thread_id: str
    model: str
    skills: tuple[str, ...]
    offered_skills: tuple[str, ...]
    prompt: str
    today: str
    outputs: list[str]
    tools: frozenset[str]


def read_request(body: dict[str, Any], headers: dict[str, str]) -> ModelRequest:
    """Read a request that has passed `responses.check`."""
    about = body.get("client_metadata") or {}
    items: list[dict[str, Any]] = [item for item in body["input"] if isinstance(item, dict)]
    messages = [(number, _texts(item)) for number, item in enumerate(items) if item.get("type") == "message"]
    prompts = [
        (number, texts)
        for number, texts in messages
        if items[number].get("role") == "user" and texts and not texts[0].startswith(_HARNESS)
    ]
    last, prompt = prompts[-1] if prompts else (0, [""])
    offered = [text for _, texts in messages for text in texts if text.startswith("<skills_instructions>")]
    dates = [found[1] for _, texts in messages for text in texts if (found := _TODAY.search(text))]
    return ModelRequest(
        turn_id=str(about.get("turn_id") or body.get("prompt_cache_key") or ""),
        thread_id=str(about.get("thread_id") or headers.get("thread-id", "")),
        model=str(body["model"]),
        skills=tuple(
            found[1]
            for number, texts in messages
            if number > last
            for text in texts
            if items[number].get("role") == "user" and (found := _SKILL.match(text))
        ),
        offered_skills=tuple(_OFFERED.findall(offered[-1].partition("### Available skills")[2])) if offered else (),
        prompt="".join(prompt),
        today=dates[-1] if dates else "2026-01-01",
        outputs=[
            "\n".join(_texts(item, "output"))
            for item in items[last:]
            if item.get("type") in {"custom_tool_call_output", "function_call_output"}
        ],
        tools=_tools(items),
    )


def is_known_skill(phase: str | None) -> bool:
    """Whether the model knows that skill."""
    return phase in SKILLS


def _texts(item: dict[str, Any], key: str = "content") -> list[str]:
    content = item.get(key)
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _tools(items: list[dict[str, Any]]) -> frozenset[str]:
    """The offered tools as `namespace.name`; a tool that another one calls is `tools.name`, as the model writes it."""
    offered = [
        (space.get("name"), tool)
        for item in items
        if item.get("type") == "additional_tools"
        for space in item.get("tools", [])
        for tool in space.get("tools", [])
    ]
    nested = (f"tools.{name}" for _, tool in offered for name in _NESTED.findall(str(tool.get("description"))))
    return frozenset({*(f"{space}.{tool.get('name')}" for space, tool in offered), *nested})
