"""What a run costs beside a plain shell script that does the same steps on the same stand-ins.

Usage: python tests/bench/run_cost.py [--rounds 7] [--repository bench/large] [--first] [--json]

Rounds alternate: appliance, script, appliance, … Both use the same engine, image, repository and stand-in model
without think time. The appliance's time is from the POST to the moment the run is final over HTTP, its containers
gone; the script's is one `docker run`. `--repository` takes one of the large repositories of `large_repositories.py`
instead of a small one. The script's containers are then removed after the last round, and their removal is not counted:
ext4 without a journal creates files slowly for minutes after it removed many. With `--first` each run is the first one
of its repository: without its cache. Prints both medians, the ratio of the medians, and a table of steps.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from moonmind_appliance import settings
from moonmind_appliance.models import FINAL_RUN_STATUSES, LABEL_APPLIANCE, LABEL_REPOSITORY
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment
from tests.bench.large_repositories import REPOSITORIES, host
from tests.journeys.served import Served
from tests.journeys.side_by_side import resources_of

API = "/api/spec-automation"
SPEC = "# Dark mode\n\n- Goal: people can switch to dark colours"
SCRIPT = Path(__file__).with_name("bare_run.sh")
STEPS = (
    "start",
    "clone",
    "scaffold",
    "speckit_specify",
    "speckit_plan",
    "speckit_tasks",
    "commit_push",
    "open_pr",
    "rest",
)


def bare_run(environment, slug, volume, number):
    """Seconds of one plain script, and milliseconds by step."""
    branch = f"bare/{number}"
    env = {
        "TOKEN": environment.github_token,
        "SERVER_URL": environment.github.server_url,
        "API_URL": environment.github.api_url,
        "SLUG": slug,
        "BRANCH": branch,
        "SPEC": SPEC,
        "HTTPS_PROXY": environment.openai.proxy_url,
        "HOME": "/work/codex-home",
        "CODEX_HOME": "/work/codex-home/.codex",
        "NO_PROXY": environment.github.server_url.split("/")[2].split(":")[0],
    }
    command = ["docker", "run", "--network", environment.network]
    command += ["--rm"] if slug == SLUG else ["--name", f"{environment.network}-bare-{number}"]
    command += [
        "--volume",
        f"{volume}:/work/codex-home/.codex",
        "--volume",
        f"{environment.folder / 'ca.pem'}:/work/runs/extra-ca.pem:ro",
    ]
    command += ["--volume", f"{SCRIPT}:/bare_run.sh:ro", *[word for name in env for word in ("--env", name)]]
    command += [environment.settings.spec_automation_job_image, "bash", "/bare_run.sh"]
    began = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode:
        sys.exit(f"The plain script failed: {done.stdout}{done.stderr}")
    steps = {name: int(ms) for name, ms in re.findall(r"^step (\w+) (\d+)$", done.stdout, re.MULTILINE)}
    steps["rest"] = round(took * 1000 - sum(steps.values()))
    return took, steps


def appliance_run(client, slug):
    """Seconds from the POST to the final status, and milliseconds by step."""
    began = time.time()
    body = {"repository": slug, "specify_text": SPEC, "shard": 0}
    run_id = client.post(f"{API}/runs", json=body).raise_for_status().json()["run_id"]
    # Asked seldom, and timed by the appliance's own clock, which is this machine's: asking costs both sides' time.
    while (run := client.get(f"{API}/runs/{run_id}").json())["status"] not in FINAL_RUN_STATUSES:
        time.sleep(0.25)
    took = _time(run["completed_at"]) - began
    if run["status"] != "succeeded":
        sys.exit(f"The run ended {run['status']}: {run['result_summary']}")
    names = {"start_job_container": "start", "git_clone": "clone"}
    steps = {}
    for phase in run["phases"]:
        ms = (_time(phase["completed_at"]) - _time(phase["started_at"])) * 1000
        steps[names.get(phase["phase"], phase["phase"])] = round(ms)
    kept = {name: ms for name, ms in steps.items() if name in STEPS}
    kept["rest"] = round(took * 1000 - sum(kept.values()))
    return took, kept


def _time(text):
    return datetime.fromisoformat(text).timestamp()


def remove_cache(engine, appliance_id, slug):
    """Remove the repository's cache, as retention would."""
    for volume in engine.volumes({LABEL_APPLIANCE: appliance_id, LABEL_REPOSITORY: slug}):
        engine.remove_volume(volume.name)


def measure(rounds, slug, *, first):
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=2) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        if slug == SLUG:
            environment.github.add_repository(slug)
        else:
            host(environment, slug)
        served = Served(environment, Path(folder) / "serve.log").start()
        try:
            # The script uses the login of shard 1, the appliance's runs that of shard 0.
            for shard in (0, 1):
                environment.sign_in_by(served.environment, shard)
            volume = f"{environment.settings.codex_volume_prefix}1"
            pairs = []
            with served.client() as client, resources_of(served) as resources:
                for number in range(rounds + 1):
                    if first:
                        remove_cache(environment.engine, resources.appliance_id, slug)
                    os.sync()
                    ours = appliance_run(client, slug)
                    # Neither waits for what the other one wrote or removed.
                    os.sync()
                    pairs.append((ours, bare_run(environment, slug, volume, number)))
            return pairs[1:]
        finally:
            served.close()
            if slug != SLUG:
                names = [f"{environment.network}-bare-{number}" for number in range(rounds + 1)]
                subprocess.run(["docker", "rm", "--force", *names], capture_output=True, check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repository", choices=[SLUG, *REPOSITORIES], default=SLUG)
    parser.add_argument("--first", action="store_true", help="each run is the first one of its repository")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = measure(options.rounds, options.repository, first=options.first)
    ours, bare = [pair[0][0] for pair in pairs], [pair[1][0] for pair in pairs]
    table = {
        step: (
            statistics.median([pair[0][1].get(step, 0) for pair in pairs]),
            statistics.median([pair[1][1].get(step, 0) for pair in pairs]),
        )
        for step in STEPS
    }
    result = {
        "rounds": options.rounds,
        "appliance_seconds": statistics.median(ours),
        "script_seconds": statistics.median(bare),
        "ratio_of_medians": statistics.median(ours) / statistics.median(bare),
        "ratio_by_pair": statistics.median([a / b for a, b in zip(ours, bare, strict=True)]),
        "steps_ms": {step: {"appliance": a, "script": b} for step, (a, b) in table.items()},
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"appliance    {result['appliance_seconds']:6.2f} s  (medians of {options.rounds} alternating rounds)")
    print(f"plain script {result['script_seconds']:6.2f} s")
    print(f"ratio {result['ratio_of_medians']:.2f}; median of the pairs' ratios {result['ratio_by_pair']:.2f}")
    print(f"{'step':18} {'appliance ms':>13} {'script ms':>10}")
    for step, (a, b) in table.items():
        print(f"{step:18} {a:13.0f} {b:10.0f}")


if __name__ == "__main__":
    main()
