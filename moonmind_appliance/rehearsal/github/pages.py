"""Plain pages for a browser: the pull requests of the hosted repositories, each with its text and its changes."""

import re
from html import escape

from moonmind_appliance.rehearsal.github.state import GitHubState, HostedPullRequest, HostedRepository

_PATH = re.compile(r"/(?P<slug>[^/]+/[^/]+)(?:/pulls?(?:/(?P<number>[1-9][0-9]{0,8}))?)?/?")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;color:#1f2328;padding:1rem}"
)
# Texts of pull requests come from an agent: nothing in them may run or be loaded.
HEADERS = [(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")]


def page(state: GitHubState, path: str) -> str | None:
    """The page of a path such as `/owner/name/pull/1`; None if there is none.

    Raises:
        GitFailed: the changes cannot be read.
    """
    match = _PATH.fullmatch(path)
    repository = state.by_slug(match["slug"]) if match else None
    if match is None or repository is None:
        return None
    if match["number"] is None:
        return _list(repository)
    pull = next((pull for pull in repository.pulls if pull.number == int(match["number"])), None)
    return None if pull is None else _pull_request(repository, pull)


def _list(repository: HostedRepository) -> str:
    items = "".join(
        f'<li><a href="/{escape(repository.slug)}/pull/{pull.number}">#{pull.number} {escape(pull.title)}</a> '
        f"({_state(pull)})</li>"
        for pull in reversed(repository.pulls)
    )
    title = f"Pull requests of {repository.slug}"
    return _page(title, f"<ul>{items}</ul>" if items else "<p>No pull requests yet.</p>")


def _pull_request(repository: HostedRepository, pull: HostedPullRequest) -> str:
    labels = ", ".join(label.name for label in pull.labels) or "none"
    changes = repository.bare.patch(f"refs/heads/{pull.base}", pull.head_sha)
    return _page(
        f"#{pull.number} {pull.title}",
        f"<p>{_state(pull)}: <code>{escape(pull.head)}</code> into <code>{escape(pull.base)}</code>, "
        f"by {escape(pull.user)}, labels: {escape(labels)}</p>"
        f"<pre>{escape(pull.body or '')}</pre><h2>Changes</h2><pre>{escape(changes)}</pre>"
        f'<p><a href="/{escape(repository.slug)}/pulls">All pull requests</a></p>',
    )


def _state(pull: HostedPullRequest) -> str:
    return f"{pull.state} draft" if pull.draft else pull.state


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>{content}</html>\n"
    )
