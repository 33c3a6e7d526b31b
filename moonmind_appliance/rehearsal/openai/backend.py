"""chatgpt.com except the model: the caller's identity, permissions and settings.

Answers contain what Codex CLI 0.169.0 reads; refusals have the original's body.
"""

from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts, TokenRefused


class Refused(HTTPException):
    """An error answer with its JSON body."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status_code=status, headers=headers)
        self.body = body


def answer_refused(_: Request[Any, Any, Any], refusal: Refused) -> Response[Any]:
    """Litestar's exception handler for `Refused`."""
    return Response(refusal.body, status_code=refusal.status_code, headers=refusal.headers)


def caller(request: Request[Any, Any, Any], accounts: Accounts) -> Account:
    """The account of the request.

    Raises:
        Refused: 401 for a missing, wrong or expired bearer token; 403 if the account header names another account.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, {"detail": "Unauthorized"})
    try:
        account = accounts.account_of(token)
    except TokenRefused as refusal:
        error = {"message": refusal.message, "type": None, "code": refusal.code.value, "param": None}
        raise Refused(401, {"error": error, "status": 401}) from None
    if request.headers.get("chatgpt-account-id", account.account_id) != account.account_id:
        raise Refused(403, {"detail": {"code": "invalid_workspace_selected"}})
    return account


def backend_routes(accounts: Accounts) -> list[BaseRouteHandler]:
    """The handlers of chatgpt.com/backend-api except the model's."""

    @get("/backend-api/wham/accounts/check")
    async def accounts_check(request: Request[Any, Any, Any]) -> dict[str, Any]:
        account = caller(request, accounts)
        return {
            "accounts": [
                {
                    "id": account.account_id,
                    "account_user_role": "account-owner",
                    "structure": "personal",
                    "plan_type": account.plan_type,
                    "can_access_with_session": True,
                    "workspace_backend_origin": "NO_CONSTRAINT",
                    "account_routing_override": "NO_CONSTRAINT",
                }
            ],
            "account_ordering": [account.account_id],
            "default_account_id": account.account_id,
        }

    @get("/backend-api/codex/models")
    async def models(request: Request[Any, Any, Any]) -> dict[str, Any]:
        caller(request, accounts)
        return {"models": []}  # Codex then uses its built-in list

    @get("/backend-api/wham/settings/user")
    async def user_settings(request: Request[Any, Any, Any]) -> dict[str, Any]:
        caller(request, accounts)
        return {}

    @get("/backend-api/wham/config/bundle")
    async def config_bundle(request: Request[Any, Any, Any]) -> dict[str, Any]:
        caller(request, accounts)
        return {}

    return [accounts_check, models, user_settings, config_bundle]
