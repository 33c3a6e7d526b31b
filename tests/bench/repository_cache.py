"""What the cache of a repository saves: bytes from GitHub and seconds until the clone is made, in first and later runs.

Usage: python tests/bench/repository_cache.py [--scale 1.0] [--json]

Two repositories are made in a temporary folder: one of 490 MiB in 5,000 files, whose content cannot be compressed, and
one of 100,000 small files. For each: a plain `git clone` in the job image, a first run, a second run, and a third run
after a commit that changes one file. All bytes that the stand-in GitHub sends during a run count, over Git and REST.
The network is this machine's, so a clone from the real GitHub takes longer, and the cache saves more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from moonmind_appliance import settings
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.bench.large_repositories import REPOSITORIES, host
from tests.github.byte_counter import ByteCounter
from tests.journeys.served import Served

API = "/api/spec-automation"
SPEC = "# Dark mode\n\n- Goal: people can switch to dark colours"
# A turn of a real model takes minutes. The cache is written meanwhile.
THINK_SECONDS = 1.0
PLAIN = """
cd /tmp
began=$(date +%s%N)
git clone -q --depth 50 "$URL" repo
echo $((($(date +%s%N) - began) / 1000000))
"""


def change_one_file(environment, slug):
    """A commit on GitHub that changes one file."""
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "changed.txt").write_text("changed\n")
        environment.github.add_files(slug, Path(made))


def one_run(client, counter, slug):
    """Bytes from GitHub, seconds from the first container to the end of the clone, and whether the cache was used."""
    before = counter.sent
    body = {"repository": slug, "specify_text": SPEC}
    run_id = client.post(f"{API}/runs", json=body).raise_for_status().json()["run_id"]
    while (run := client.get(f"{API}/runs/{run_id}").json())["status"] not in FINAL_RUN_STATUSES:
        time.sleep(0.25)
    if run["status"] != "succeeded":
        sys.exit(f"The run ended {run['status']}: {run['result_summary']}")
    phases = {phase["phase"]: phase for phase in run["phases"]}
    clone = phases["git_clone"]
    return {
        "bytes": counter.sent - before,
        # The clone begins while the second container is starting.
        "clone_seconds": _time(clone["completed_at"]) - _time(phases["start_job_container"]["started_at"]),
        "cache": clone["metadata"]["cache"]["used"],
    }


def plain_clone(environment, counter, slug):
    """The same of `git clone` in a container of the job image."""
    before = counter.sent
    url = f"{counter.url.replace('://', f'://x-access-token:{environment.github_token}@')}/{slug}.git"
    command = ["docker", "run", "--rm", "--network", environment.network, "--env", "URL"]
    command += [environment.settings.spec_automation_job_image, "bash", "-euc", PLAIN]
    done = subprocess.run(command, env=os.environ | {"URL": url}, capture_output=True, text=True, check=True)
    return {"bytes": counter.sent - before, "clone_seconds": int(done.stdout) / 1000}


def _time(text):
    return datetime.fromisoformat(text).timestamp()


def measure(scale):
    found = {}
    with (
        RehearsalEnvironment(settings.load({}).settings, think_seconds=THINK_SECONDS) as environment,
        ByteCounter(urlsplit(environment.github.server_url).hostname, environment.github.server_url) as counter,
        tempfile.TemporaryDirectory() as folder,
    ):
        api = counter.url + urlsplit(environment.github.api_url).path
        extra = {"GITHUB_SERVER_URL": counter.url, "GITHUB_API_URL": api}
        served = Served(environment, Path(folder) / "serve.log", extra=extra).start()
        try:
            environment.sign_in_by(served.environment, 0)
            with served.client() as client:
                for slug in REPOSITORIES:
                    host(environment, slug, scale)
                    plain = plain_clone(environment, counter, slug)
                    first, second = (one_run(client, counter, slug) for _ in range(2))
                    change_one_file(environment, slug)
                    third = one_run(client, counter, slug)
                    found[slug] = {
                        "git clone": plain,
                        "first run": first,
                        "second run": second,
                        "third run": third,
                        "ratio of bytes": second["bytes"] / first["bytes"],
                        "ratio of clone seconds": second["clone_seconds"] / first["clone_seconds"],
                    }
        finally:
            served.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the files; below 1 for a quick look")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.scale)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'repository':20} {'':12} {'bytes from GitHub':>18} {'until cloned s':>15}  cache")
    for slug, rows in found.items():
        for name, row in rows.items():
            if isinstance(row, dict):
                used = "used" if row.get("cache") else "-"
                print(f"{slug:20} {name:12} {row['bytes']:18,} {row['clone_seconds']:15.2f}  {used}")
        ratios = f"bytes {rows['ratio of bytes']:.5f}, seconds {rows['ratio of clone seconds']:.2f}"
        print(f"{slug:20} second / first: {ratios}")


if __name__ == "__main__":
    main()
