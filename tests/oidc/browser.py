"""A user's browser: opens a page, fills in its form, presses a button."""

from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Self

import httpx


class _Form(HTMLParser):
    """The first form of a page: its target, its fields and its buttons."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = found.get("action", ""), True
        elif self._inside and tag in {"input", "button"} and "name" in found:
            kind = self.buttons if found.get("type") == "submit" or tag == "button" else self.fields
            kind[found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Browser:
    """Keeps cookies as browsers do at `localhost`, where `Secure` ones go over plain HTTP too."""

    def __init__(self) -> None:
        # Keycloak distinguishes browsers from programs by the Accept header.
        self._http = httpx.Client(timeout=30, headers={"Accept": "text/html"})
        self._cookies: dict[str, str] = {}
        self.url = httpx.URL("")
        self.page = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def open(self, url: str) -> None:
        self._go("GET", httpx.URL(url))

    def submit(self, button: str | None = None, **values: str) -> None:
        """Send the page's form with these values, with that button if it has several."""
        form = _Form(self.page)
        assert form.action, f"no form at {self.url}: {self.page[:2000]}"
        data = {**form.fields, **values}
        if button is not None:
            data[button] = form.buttons[button]
        self._go("POST", self.url.join(form.action), data)

    def _go(self, method: str, url: httpx.URL, data: dict[str, str] | None = None) -> None:
        for _ in range(10):
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
            answer = self._http.request(method, url, data=data, headers=headers)
            for line in answer.headers.get_list("set-cookie"):
                for name, morsel in SimpleCookie(line).items():
                    self._cookies[name] = morsel.coded_value
            if not answer.is_redirect:
                self.url, self.page = url, answer.text
                return
            method, url, data = "GET", url.join(answer.headers["location"]), None
        raise AssertionError(f"redirected in a circle at {url}")
