#!/bin/bash
# The same job as a plain shell script in one container: clone, scaffold, three turns, commit, push, pull request.
# Reads TOKEN, SERVER_URL, API_URL, SLUG, BRANCH and SPEC from its environment; prints a line a step, in milliseconds.
set -euo pipefail
began=$(date +%s%3N)
step() {
  local now
  now=$(date +%s%3N)
  echo "step $1 $((now - began))"
  began=$now
}
export GIT_CONFIG_GLOBAL=/tmp/gitconfig
git config --global user.name bare
git config --global user.email bare@example.invalid
cat /etc/ssl/certs/ca-certificates.crt /work/runs/extra-ca.pem > /tmp/ca.pem
export CODEX_CA_CERTIFICATE=/tmp/ca.pem
cd /work/runs
git clone --quiet --depth 50 "http://x-access-token:$TOKEN@${SERVER_URL#http://}/$SLUG.git" repo
cd repo
git checkout --quiet -b "$BRANCH"
step clone
specify init --here --force --integration codex --script sh --ignore-agent-tools --non-interactive > /dev/null
printf '/.specify/\n/.agents/\n' >> .git/info/exclude
step scaffold
turn() {
  printf '%s\n\n%s' "$1" "$2" | codex exec --json --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check \
    -c check_for_update_on_startup=false -c analytics.enabled=false -c features.apps=false -c features.plugins=false \
    -c features.remote_plugin=false -c features.unbounded_connection_retries=false - > /tmp/events.jsonl 2> /dev/null
}
# shellcheck disable=SC2016 # the dollar is Codex's
turn '$speckit-specify' "$SPEC"
step speckit_specify
# shellcheck disable=SC2016
turn '$speckit-plan' ''
step speckit_plan
# shellcheck disable=SC2016
turn '$speckit-tasks' ''
step speckit_tasks
git add --all
git commit --quiet --message 'Add the specification'
git push --quiet origin "HEAD:refs/heads/$BRANCH"
step commit_push
curl --silent --show-error --fail --output /tmp/pull.json --header "Authorization: Bearer $TOKEN" \
  --data "{\"title\":\"Specification\",\"head\":\"$BRANCH\",\"base\":\"main\",\"draft\":true}" \
  "$API_URL/repos/$SLUG/pulls"
step open_pr
