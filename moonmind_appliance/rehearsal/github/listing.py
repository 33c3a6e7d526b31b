"""Lists of the REST API, in pages.

docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

import re
from typing import Any
from urllib.parse import urlencode

from moonmind_appliance.rehearsal.github.injected import AnyRequest

_PER_PAGE, _MOST_PER_PAGE = 30, 100


def page_of(request: AnyRequest, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
    """One page of the items, and the `Link` header to the others."""
    query = request.query_params
    per_page = min(_number(query.get("per_page"), _PER_PAGE), _MOST_PER_PAGE)
    page, last = _number(query.get("page"), 1), max(1, -(-len(items) // per_page))
    links = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    if page == 1:
        links = {"next": 2, "last": last}
    if page >= last:
        links = {name: number for name, number in links.items() if name in ("prev", "first")}

    def address(number: int) -> str:
        parameters = {**query.dict(), "page": [str(number)]}
        return f"{request.base_url}{request.scope['path'].lstrip('/')}?{urlencode(parameters, doseq=True)}"

    header = ", ".join(f'<{address(number)}>; rel="{name}"' for name, number in links.items())
    return items[(page - 1) * per_page : page * per_page], {"link": header} if header else {}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"[1-9]\d{0,5}", text) else default
