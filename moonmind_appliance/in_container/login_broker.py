"""Runs inside the egress container of a run with LOGIN_BROKER: the egress proxy, with a broker for the shard's login.

The agent has no login, only a dummy that is valid for this broker. Its connections to OpenAI end here, and go on with
the real login, which stays in this container. The first line printed is `{"ready": true, "broker": {"ca": …,
"login": …}}`, or `{"broker_problem": …}` before it ends with 1. Lines with a key `broker` follow (`broker_report`).
"""

import os
import ssl
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.broker_authority import NoAuthority, make_authority
from moonmind_appliance.in_container.broker_connection import LoginBroker, Parts
from moonmind_appliance.in_container.broker_login import Dummy, LoginFile, NoLogin
from moonmind_appliance.in_container.broker_renewal import Renewal, checking
from moonmind_appliance.in_container.broker_report import Report
from moonmind_appliance.in_container.broker_request import HOSTS
from moonmind_appliance.in_container.ca_bundle import trust
from moonmind_appliance.in_container.egress_proxy import Limits, run, write_line
from moonmind_appliance.in_container.egress_record import Record
from moonmind_appliance.in_container.login_volume import CODEX_LOGIN, clean
from moonmind_appliance.in_container.shared import answer


def main(job: dict[str, Any]) -> int:
    """Serve until the container ends.

    The job contains what `egress_proxy` takes, and `broker`: `command` (Codex's app server), `seconds` (its longest
    time) and `ca_file` (the operator's authorities for connections to OpenAI, or None).
    """
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    if Path(job["socket"]).is_relative_to(home):
        answer({"broker_problem": "The broker's HOME is in a folder that the agent can read."})
        return 1
    clean(volume)
    trust(home)
    file = LoginFile(volume / CODEX_LOGIN)
    try:
        dummy = Dummy(file.read())
        authority = make_authority(HOSTS, home)
    except (NoLogin, NoAuthority) as problem:
        answer({"broker_problem": str(problem)})
        return 1
    asked = job["broker"]
    service = ssl.create_default_context()
    if asked["ca_file"]:
        service.load_verify_locations(asked["ca_file"])
    report = Report(write_line)
    check = checking(asked["command"], asked["seconds"], home, volume)
    renewal = Renewal(file, check, report.renewing, report.renewed)
    parts = Parts(authority, dummy, renewal, report, service)

    def broker(record: Record, limits: Limits) -> LoginBroker:
        return LoginBroker(parts, record, limits)

    return run(job, {"ready": True, "broker": {"ca": authority.ca, "login": dummy.login_file()}}, broker)
