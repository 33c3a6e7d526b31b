"""The delivered alert rules, the dashboard and their page use metrics that the appliance exports."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from moonmind_appliance.api.metrics import Metrics
from moonmind_appliance.api.parts import ProcessState
from moonmind_appliance.checks import Finding, Level
from tests.api.served import serve
from tests.test_docs import rows

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "monitoring"
ALERTS = FOLDER / "alerts.yaml"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}

NAME = r"\b((?:moonmind|process)_[a-z_]+)"
MATCHER = r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"'
# What Prometheus itself adds.
TARGET = {"job": "moonmind-appliance", "instance": "localhost:5000"}


@pytest.fixture(scope="module")
def promtool() -> Path:
    script = ROOT / "tests/setup/promtool.sh"
    done = subprocess.run(["bash", script], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """All metrics of an appliance that has answered a request."""
    with serve(tmp_path_factory.mktemp("data")) as served:
        ok = Finding("check", Level.OK, "")
        process = ProcessState(
            checks=lambda: dict.fromkeys(("database", "disk", "engine", "login", "workers"), ok),
            threads=lambda: {"clock": True},
            jobs=lambda: dict.fromkeys(("logins", "wake-again", "retention"), 1.0),
        )
        metrics = Metrics(replace(served.parts, process=process), lambda: 0)
        metrics.answered("GET", "/health", 200, 0.001)
        yield metrics.text().decode()


@pytest.fixture(scope="module")
def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def labels_by_sample(families: dict[str, Metric]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for family in families.values():
        for sample in family.samples:
            found.setdefault(sample.name, []).append({**sample.labels, **TARGET})
    return found


def matches(labels: dict[str, str], matchers: list[tuple[str, str, str]]) -> bool:
    """As Prometheus does it: a label that is missing is empty, an expression matches the whole value."""

    def one(name: str, operator: str, wanted: str) -> bool:
        value = labels.get(name, "")
        equal = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
        return equal is not operator.startswith("!")

    return all(one(*matcher) for matcher in matchers)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_every_selector_finds_a_series(families: dict[str, Metric], name: str) -> None:
    """With its labels and values: a rule on a metric that is renamed would never fire, and nobody would see it."""
    expression = EXPRESSIONS[name].replace("$instance", ".*")
    known = labels_by_sample(families)
    selectors = re.findall(NAME + r"(\{[^}]*\})?", expression)
    assert selectors or expression.startswith("up{")
    for metric, braces in selectors:
        matchers = re.findall(MATCHER, braces)
        assert metric in known, metric
        assert any(matches(labels, matchers) for labels in known[metric]), (metric, matchers)
    grouped = {label for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in group.split(", ")}
    assert grouped <= {label for metric, _ in selectors for labels in known[metric] for label in labels}


def test_every_metric_is_documented_with_its_labels(families: dict[str, Metric]) -> None:
    """And none that does not exist. The families of the process are the client library's."""
    documented = {cells[0]: set(re.findall(r"\w+", cells[1])) for cells in rows("docs/monitoring.md", "## Metrics")}
    del documented["process_…"]
    exported = {}
    for family in families.values():
        if not family.name.startswith("process_") and not family.name.endswith("_created"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            exported[f"{family.name}_total" if family.type == "counter" else family.name] = labels
    assert documented == exported


def test_every_alert_is_documented_and_tested() -> None:
    """On the page with what to do, and in the unit tests; and none that does not exist."""
    names = [rule["alert"] for rule in RULES]
    assert [cells[0] for cells in rows("docs/monitoring.md", "## Alerts")] == names
    tests = yaml.safe_load((Path(__file__).parent / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    fires = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    quiet = {case["alertname"] for test in tests for case in test["alert_rule_test"] if not case.get("exp_alerts")}
    assert fires == quiet == set(names)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It has no data source of its own, its panels do not overlap, and every panel shows something."""
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))


def test_promtool_accepts_the_metrics(promtool: Path, text: str) -> None:
    """Its linter holds names and units to Prometheus' conventions."""
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_promtool_accepts_the_rules_and_the_dashboards_queries(promtool: Path, tmp_path: Path) -> None:
    """The queries as rules, with a value for the dashboard's variable."""
    queries = [
        {"record": f"query:{number}", "expr": expression.replace("$instance", ".*")}
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": queries}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", ALERTS, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(RULES)} rules found" in done.stdout
    assert f"SUCCESS: {len(queries)} rules found" in done.stdout


def test_the_alerts_fire_and_stay_quiet(promtool: Path, tmp_path: Path) -> None:
    """Evaluated by promtool over made-up series."""
    cases = tmp_path / "alerts.test.yaml"
    cases.write_text(
        (Path(__file__).parent / "alerts.test.yaml").read_text(encoding="utf-8").replace("RULES", str(ALERTS)),
        encoding="utf-8",
    )
    done = subprocess.run([promtool, "test", "rules", cases], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
