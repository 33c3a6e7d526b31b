"""The JSON bodies of GitHub's answers, with every property that its OpenAPI description requires."""

import base64
import zlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from moonmind_appliance.rehearsal.github.state import Access, GitHubState, HostedPullRequest, HostedRepository, Label

_USER_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


class Shapes:
    """Converts one stand-in's values to GitHub's JSON."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def user(self, login: str) -> dict[str, Any]:
        """A simple-user."""
        url = f"{self._state.api_url}/users/{login}"
        number = zlib.crc32(login.lower().encode())
        return {
            "login": login,
            "id": number,
            "node_id": node("User", number),
            "avatar_url": f"{self._state.server_url}/avatars/{number}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self._state.server_url}/{login}",
            **{key: url + tail for key, tail in _USER_URLS.items()},
            "type": "User",
            "user_view_type": "public",
            "site_admin": False,
        }

    def page(self, path: str) -> str:
        """The address of a page for people."""
        return f"{self._state.server_url}/{path}"

    def url(self, repository: HostedRepository) -> str:
        """The repository's address in the API."""
        return f"{self._state.api_url}/repos/{repository.slug}"

    def repository(self, repository: HostedRepository) -> dict[str, Any]:
        """A repository inside other values."""
        url, html_url = self.url(repository), f"{self._state.server_url}/{repository.slug}"
        open_pulls = sum(1 for pull in repository.pulls if pull.state == "open")
        return {
            "id": repository.repository_id,
            "node_id": node("Repository", repository.repository_id),
            "name": repository.name,
            "full_name": repository.slug,
            "private": repository.private,
            "owner": self.user(repository.owner),
            "html_url": html_url,
            "description": None,
            "fork": False,
            "url": url,
            **{key: url + tail for key, tail in _REPOSITORY_URLS.items()},
            "created_at": time_of(repository.created_at),
            "updated_at": time_of(repository.pushed_at),
            "pushed_at": time_of(repository.pushed_at),
            "git_url": f"git:{html_url.partition(':')[2]}.git",
            "ssh_url": f"git@{self._state.server_url.partition('://')[2].partition(':')[0]}:{repository.slug}.git",
            "clone_url": f"{html_url}.git",
            "svn_url": html_url,
            "homepage": None,
            "size": repository.size_kilobytes,
            "stargazers_count": 0,
            "watchers_count": 0,
            "language": None,
            "has_issues": True,
            "has_projects": True,
            "has_downloads": True,
            "has_wiki": True,
            "has_pages": False,
            "has_discussions": False,
            "forks_count": 0,
            "mirror_url": None,
            "archived": repository.archived,
            "disabled": False,
            "open_issues_count": open_pulls,
            "license": None,
            "allow_forking": True,
            "is_template": False,
            "web_commit_signoff_required": False,
            "topics": [],
            "visibility": "private" if repository.private else "public",
            "forks": 0,
            "open_issues": open_pulls,
            "watchers": 0,
            "default_branch": repository.default_branch,
        }

    def full_repository(self, repository: HostedRepository, access: Access | None) -> dict[str, Any]:
        """A repository in the answer of GET /repos/{owner}/{repo}, with the caller's permissions."""
        shape = {**self.repository(repository), "network_count": 0, "subscribers_count": 0}
        if access is not None:
            # An App has no role in the repository: in the documented answers for one, every entry is false.
            push = not access.is_app and self._state.may_push(repository, access)
            shape["permissions"] = {
                "admin": False,
                "maintain": False,
                "push": push,
                "triage": push,
                "pull": not access.is_app,
            }
        return shape

    def branch(self, repository: HostedRepository, name: str, sha: str) -> dict[str, Any]:
        """A branch-with-protection."""
        url = f"{self.url(repository)}/branches/{quote(name)}"
        protected = name in repository.protected
        return {
            "name": name,
            "commit": self._commit(repository, sha),
            "_links": {"self": url, "html": f"{self._state.server_url}/{repository.slug}/tree/{quote(name)}"},
            "protected": protected,
            "protection": {
                "enabled": protected,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": f"{url}/protection",
        }

    def short_branch(self, repository: HostedRepository, name: str, sha: str) -> dict[str, Any]:
        """A branch in a list."""
        url = f"{self.url(repository)}/commits/{sha}"
        return {"name": name, "commit": {"sha": sha, "url": url}, "protected": name in repository.protected}

    def _commit(self, repository: HostedRepository, sha: str) -> dict[str, Any]:
        url, html_url = self.url(repository), f"{self._state.server_url}/{repository.slug}"
        facts = repository.bare.commit(sha)
        return {
            "sha": sha,
            "node_id": node("Commit", sha),
            "commit": {
                "author": {
                    "name": facts["author"],
                    "email": facts["author_email"],
                    "date": _utc(facts["author_date"]),
                },
                "committer": {
                    "name": facts["committer"],
                    "email": facts["committer_email"],
                    "date": _utc(facts["committer_date"]),
                },
                "message": facts["message"].rstrip("\n"),
                "tree": {"sha": facts["tree"], "url": f"{url}/git/trees/{facts['tree']}"},
                "url": f"{url}/git/commits/{sha}",
                "comment_count": 0,
                "verification": {
                    "verified": False,
                    "reason": "unsigned",
                    "signature": None,
                    "payload": None,
                    "verified_at": None,
                },
            },
            "url": f"{url}/commits/{sha}",
            "html_url": f"{html_url}/commit/{sha}",
            "comments_url": f"{url}/commits/{sha}/comments",
            "author": None,
            "committer": None,
            "parents": [
                {"sha": parent, "url": f"{url}/commits/{parent}", "html_url": f"{html_url}/commit/{parent}"}
                for parent in facts["parents"].split()
            ],
        }

    def ref(self, repository: HostedRepository, ref: str, sha: str) -> dict[str, Any]:
        """A git-ref."""
        url = self.url(repository)
        return {
            "ref": ref,
            "node_id": node("Ref", ref),
            "url": f"{url}/git/{quote(ref)}",
            "object": {"sha": sha, "type": "commit", "url": f"{url}/git/commits/{sha}"},
        }

    def label(self, repository: HostedRepository, label: Label) -> dict[str, Any]:
        """A label."""
        return {
            "id": label.label_id,
            "node_id": node("Label", label.label_id),
            "url": f"{self.url(repository)}/labels/{quote(label.name)}",
            "name": label.name,
            "color": label.color,
            "default": False,
            "description": label.description,
        }

    def pull(self, repository: HostedRepository, pull: HostedPullRequest) -> dict[str, Any]:
        """A pull request in a list."""
        url, html_url = self.url(repository), f"{self._state.server_url}/{repository.slug}/pull/{pull.number}"
        pull_url, issue_url = f"{url}/pulls/{pull.number}", f"{url}/issues/{pull.number}"
        addresses = {
            "html_url": html_url,
            "issue_url": issue_url,
            "commits_url": f"{pull_url}/commits",
            "review_comments_url": f"{pull_url}/comments",
            "review_comment_url": f"{url}/pulls/comments{{/number}}",
            "comments_url": f"{issue_url}/comments",
            "statuses_url": f"{url}/statuses/{pull.head_sha}",
        }
        base_sha = repository.bare.head(pull.base) or pull.head_sha
        return {
            "url": pull_url,
            "id": pull.pull_id,
            "node_id": node("PullRequest", pull.pull_id),
            **addresses,
            "diff_url": f"{html_url}.diff",
            "patch_url": f"{html_url}.patch",
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "title": pull.title,
            "user": self.user(pull.user),
            "body": pull.body,
            "created_at": time_of(pull.created_at),
            "updated_at": time_of(pull.updated_at),
            "closed_at": time_of(pull.closed_at) if pull.closed_at else None,
            "merged_at": None,
            "merge_commit_sha": None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [self.label(repository, label) for label in pull.labels],
            "milestone": None,
            "draft": pull.draft,
            "head": self._side(repository, pull.head, pull.head_sha),
            "base": self._side(repository, pull.base, base_sha),
            "_links": {
                "self": {"href": pull_url},
                **{key.removesuffix("_url"): {"href": address} for key, address in addresses.items()},
            },
            "author_association": "CONTRIBUTOR",
            "auto_merge": None,
            "active_lock_reason": None,
        }

    def full_pull(self, repository: HostedRepository, pull: HostedPullRequest) -> dict[str, Any]:
        """A pull request in an answer of its own."""
        shape = self.pull(repository, pull)
        difference = repository.bare.difference(shape["base"]["sha"], pull.head_sha)
        return {
            **shape,
            "merged": False,
            "mergeable": None,  # GitHub finds out later, too
            "rebaseable": None,
            "mergeable_state": "draft" if pull.draft else "unknown",
            "merged_by": None,
            "comments": 0,
            "review_comments": 0,
            "maintainer_can_modify": pull.maintainer_can_modify,
            "commits": difference.commits,
            "additions": difference.additions,
            "deletions": difference.deletions,
            "changed_files": difference.changed_files,
        }

    def _side(self, repository: HostedRepository, branch: str, sha: str) -> dict[str, Any]:
        return {
            "label": f"{repository.owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self.user(repository.owner),
            "repo": self.repository(repository),
        }


def node(kind: str, key: object) -> str:
    """GitHub's `node_id` of an object."""
    return base64.b64encode(f"{kind}:{key}".encode()).decode()


def time_of(moment: datetime) -> str:
    """A time as GitHub writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _utc(iso: str) -> str:
    return time_of(datetime.fromisoformat(iso))
