"""What Codex's login file `auth.json` contains. Pure; as seen on 0.169.0."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from moonmind_appliance.agents.adapter import LoginFacts
from moonmind_appliance.agents.untrusted import Unreadable, as_object, as_printable, as_time, read_json
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT

_OPENAI_CLAIMS = "https://api.openai.com/auth"
_LONGEST_CLAIMS = 64 * 1024
_LONGEST_EMAIL = 254
_LONGEST_PLAN = 64
_KNOWN_KEYS = frozenset({"auth_mode", "OPENAI_API_KEY", "tokens", "last_refresh"})


def secrets_of(login_file: bytes) -> dict[str, str]:
    """The tokens in `auth.json`, and the API key if one is stored."""
    try:
        stored = as_object(read_json(login_file, limit=LOGIN_FILE_LIMIT))
    except Unreadable:
        return {}
    tokens = as_object(stored.get("tokens"))
    found = {name: tokens.get(name) for name in ("id_token", "access_token", "refresh_token")}
    found["api_key"] = stored.get("OPENAI_API_KEY")
    return {name: value for name, value in found.items() if _is_token(value)}


def login_facts(login_file: bytes) -> LoginFacts:
    """Account, plan and times from `auth.json`, unverified."""
    try:
        stored = as_object(read_json(login_file, limit=LOGIN_FILE_LIMIT))
    except Unreadable:
        return LoginFacts(usable=False)
    tokens = as_object(stored.get("tokens"))
    access, api_key = tokens.get("access_token"), stored.get("OPENAI_API_KEY")
    mode = _auth_mode(stored)
    by_api_key = mode == "apikey" and _is_token(api_key)
    if not by_api_key and not (mode == "chatgpt" and _is_token(access) and _is_token(tokens.get("refresh_token"))):
        return LoginFacts(usable=False)
    identity = jwt_claims(tokens.get("id_token"))
    plan = as_object(identity.get(_OPENAI_CLAIMS)).get("chatgpt_plan_type")
    return LoginFacts(
        usable=True,
        by_api_key=by_api_key,
        account=_key_account(api_key) if by_api_key else _chatgpt_account(tokens),
        email=None if by_api_key else as_printable(identity.get("email"), longest=_LONGEST_EMAIL),
        plan=None if by_api_key else as_printable(plan, longest=_LONGEST_PLAN),
        made_at=as_time(stored.get("last_refresh")),
        access_expires_at=None if by_api_key else as_time(jwt_claims(access).get("exp")),
    )


def jwt_claims(token: object) -> dict[str, Any]:
    """The claims of a JSON Web Token, unverified; empty if it is not one."""
    try:
        part = str(token).split(".", 2)[1]
        claims = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        return as_object(read_json(claims, limit=_LONGEST_CLAIMS))
    except (IndexError, ValueError):
        return {}


def _is_token(value: object) -> TypeGuard[str]:
    """Whether it could be a token or key: printable ASCII without blanks."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and bool(value) and " " not in value


def _auth_mode(stored: Mapping[str, Any]) -> str:
    """How Codex would use the file: `auth_mode`; without it an API key takes precedence over tokens (seen on 0.169.0).

    "" if the file also contains another kind of login: the appliance did not make it.
    """
    if any(value is not None for key, value in stored.items() if key not in _KNOWN_KEYS):
        return ""
    mode = stored.get("auth_mode")
    if mode is None:
        return "chatgpt" if stored.get("OPENAI_API_KEY") is None else "apikey"
    return mode if isinstance(mode, str) else ""


def _key_account(api_key: object) -> str:
    return _account_of("api_key", [str(api_key)], [])


def _chatgpt_account(tokens: Mapping[str, Any]) -> str:
    """All accounts and users that the tokens name: OpenAI uses those of the access token, Codex those of the others."""
    claims = [as_object(jwt_claims(tokens.get(name)).get(_OPENAI_CLAIMS)) for name in ("access_token", "id_token")]
    accounts = [tokens.get("account_id"), *(found.get("chatgpt_account_id") for found in claims)]
    people = [found.get(name) for found in claims for name in ("chatgpt_user_id", "user_id")]
    return _account_of("chatgpt", accounts, people)


def _account_of(kind: str, accounts: list[Any], people: list[Any]) -> str:
    """A short name for the kind and ids, independent of the order and repetition of the ids."""
    named = [sorted({value for value in values if isinstance(value, str)}) for values in (accounts, people)]
    return hashlib.sha256(json.dumps([kind, *named]).encode()).hexdigest()[:32]
