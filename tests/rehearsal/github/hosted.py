"""Requests to the stand-in GitHub, and what its repositories contain."""

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG, TOKEN, git

AUTH = {"authorization": f"Bearer {TOKEN}"}


PULLS = f"/repos/{SLUG}/pulls"


WISH = {"title": "t", "head": "work/1", "base": "main"}


def files(stand_in: StandInGitHub, slug: str, ref: str = "main") -> dict[str, str]:
    bare = stand_in.git_folder(slug)
    names = git("ls-tree", "-r", "--name-only", ref, folder=bare).splitlines()
    return {name: git("show", f"{ref}:{name}", folder=bare) for name in names}


def head(stand_in: StandInGitHub, slug: str, branch: str = "main") -> str:
    return git("rev-parse", f"refs/heads/{branch}", folder=stand_in.git_folder(slug))
