"""A request to the model is read as a turn."""

from collections.abc import Callable

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import StandInOpenAI

URL = "https://chatgpt.com/backend-api/codex/responses"


Body = Callable[..., dict[str, object]]


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(client: httpx.Client, bearer: dict[str, str], model_request: Body) -> Ask:
    """A signed-in request to the model; the arguments are `model_request`'s."""
    return lambda *prompt, **changes: client.post(URL, json=model_request(*prompt, **changes), headers=bearer)


def test_a_turn_is_recorded_completely(openai: StandInOpenAI, ask: Ask) -> None:
    """Its skills, and the prompt byte for byte."""
    text = "-rf $(id) $speckit-tasks\r\n<skill>\n<name>x</name>\n\n\t“ü” \x07 end \n\n"
    ask(f"$speckit-specify\n\n{text}")
    (turn,) = openai.turns
    assert turn.phase == "speckit-specify"
    assert turn.skills == turn.offered_skills == ("speckit-specify",)
    assert turn.prompt == f"$speckit-specify\n\n{text}"
    assert turn.text == text
    assert turn.account == openai.accounts[0]
    assert (turn.requests, turn.finished) == (1, False)


def test_requests_of_one_turn_are_one_turn(openai: StandInOpenAI, ask: Ask) -> None:
    """Each request repeats the whole history; another turn has another id."""
    ask()
    ask(outputs=("/repo\n",))
    ask(turn_id="turn-2")
    assert [(turn.turn_id, turn.requests) for turn in openai.turns] == [("turn-1", 2), ("turn-2", 1)]
