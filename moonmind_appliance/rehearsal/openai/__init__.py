"""A stand-in for OpenAI's servers, strict enough that the real Codex CLI works against it unchanged."""

from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts, RefusalCode, Tokens
from moonmind_appliance.rehearsal.openai.model import feature_files
from moonmind_appliance.rehearsal.openai.response_script import NORMAL, ResponseKind, ScriptedResponse
from moonmind_appliance.rehearsal.openai.server import Exchange, StandInOpenAI
from moonmind_appliance.rehearsal.openai.turns import Turn

__all__ = [
    "NORMAL",
    "Account",
    "Accounts",
    "Exchange",
    "RefusalCode",
    "ResponseKind",
    "ScriptedResponse",
    "StandInOpenAI",
    "Tokens",
    "Turn",
    "feature_files",
]
