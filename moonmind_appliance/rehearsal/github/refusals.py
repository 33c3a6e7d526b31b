"""GitHub's refusals: status, body and headers as its REST API answers them."""

from typing import Any

DOCS = "https://docs.github.com/rest"


class Refused(Exception):
    """An error answer. `operation` is the page of GitHub's docs that explains it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        operation: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: dict[str, Any] = {"message": message}
        if errors is not None:
            self.body["errors"] = errors
        self.body["documentation_url"] = operation if operation.startswith("https:") else f"{DOCS}{operation}"
        self.body["status"] = str(status)


def not_found(operation: str = "") -> Refused:
    """It does not exist, or the caller has no access."""
    return Refused(404, "Not Found", operation=operation)


def moved(location: str, method: str) -> Refused:
    """A redirect that keeps the method."""
    status, message = (301, "Moved Permanently") if method == "GET" else (307, "Temporary Redirect")
    refused = Refused(status, message, headers={"location": location})
    refused.body = {"message": message, "url": location, "documentation_url": DOCS}
    return refused


def forbidden(operation: str) -> Refused:
    """The token may read but not write."""
    return Refused(403, "Resource not accessible by personal access token", operation=operation)


def suspended() -> Refused:
    """The token's installation is suspended."""
    page = "https://docs.github.com/rest/reference/apps#create-an-installation-access-token-for-an-app"
    return Refused(403, "This installation has been suspended", operation=page)


def not_permitted(operation: str, needs: tuple[str, ...], *, is_app: bool) -> Refused:
    """The token lacks a permission; GitHub lists those that would be sufficient."""
    accepted = "; ".join(each.replace(":", "=") for each in needs)
    message = f"Resource not accessible by {'integration' if is_app else 'personal access token'}"
    return Refused(403, message, operation=operation, headers={"x-accepted-github-permissions": accepted})


def invalid(operation: str, *errors: dict[str, Any]) -> Refused:
    """The request is well formed but cannot be executed."""
    return Refused(422, "Validation Failed", errors=list(errors), operation=operation)


def problem(resource: str, code: str, field: str | None = None, **more: str) -> dict[str, Any]:
    """One entry of `errors`. `message` is for the code `custom`."""
    entry: dict[str, Any] = {"resource": resource, "code": code}
    if field:
        entry["field"] = field
    return {**entry, **more}


def too_long(resource: str, field: str, most: int) -> dict[str, Any]:
    """The problem of a text with too many characters."""
    return problem(resource, "custom", field, message=f"{field} is too long (maximum is {most} characters)")
