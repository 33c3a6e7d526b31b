"""The OpenAPI document, its page, and the API's conformance."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.api.problems import PROBLEMS
from moonmind_appliance.views.run_detail import RunDetail
from tests.api.served import BASE, REQUEST, Served

RULES = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def document(shared: Served) -> dict[str, Any]:
    answer = shared.client(None).get("/schema/openapi.json")
    assert answer.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    document: dict[str, Any] = answer.json()
    return document


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_the_document_is_openapi_3_1_and_names_every_operation(document: dict[str, Any]) -> None:
    """Each operation has an id, a summary and a description for people."""
    assert document["openapi"].startswith("3.1")
    assert len({operation["operationId"] for operation in operations(document)}) == 15
    assert all(operation["summary"] and operation["description"] for operation in operations(document))


def test_every_refusal_is_a_problem_with_an_example_for_each_code(document: dict[str, Any]) -> None:
    """The examples show the codes that the route may answer."""
    for operation in operations(document):
        assert "500" in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            ((media_type, content),) = response["content"].items()
            assert media_type == "application/problem+json"
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert PROBLEMS[code].status == int(status)
                assert "id" not in example


def test_the_request_is_described_with_its_limits_and_an_example_that_works(
    served: Served, document: dict[str, Any]
) -> None:
    """The API accepts the example of the page."""
    request = document["components"]["schemas"]["SubmitRequest"]
    assert request["additionalProperties"] is False
    assert request["required"] == ["repository", "specify_text"]
    assert request["properties"]["specify_text"]["maxLength"] == 262_144
    assert re.fullmatch(request["properties"]["repository"]["pattern"], REQUEST["repository"])
    assert served.client().post("/runs", json=request["examples"][0]).status_code == 202


def test_the_runs_fields_are_described(document: dict[str, Any]) -> None:
    """The document has all fields of a run, and no others."""
    assert set(document["components"]["schemas"]["RunDetail"]["properties"]) == set(RunDetail.__struct_fields__)


def test_the_page_loads_nothing_from_elsewhere(shared: Served) -> None:
    """The appliance serves its script, style and icon; it works without internet access."""
    client = shared.client(None)
    page = client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    loaded = re.findall(r"<(?:script|link)[^>]*(?:src|href)=['\"]([^'\"]+)", page.text)
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith(f"{BASE}/schema/assets/")
        answer = client.get(shared.address + address)
        assert answer.status_code == 200
        assert answer.content
    assert "SwaggerUIBundle" in client.get("/schema/assets/swagger-ui-bundle.js").text


def test_the_page_passes_its_whole_document_to_the_viewer(shared: Served, tmp_path: Path) -> None:
    """The script in the page runs, and passes every path to Swagger UI (a stand-in here)."""
    if (node := shutil.which("node")) is None:
        pytest.skip("needs node")
    page = shared.client(None).get("/schema").text
    script = re.search(r"<script type='text/javascript'>(.*?)</script>", page, re.DOTALL)
    assert script
    program = tmp_path / "page.js"
    program.write_text(
        "let given; function SwaggerUIBundle(options) { given = options; return { initOAuth() {} } }\n"
        "SwaggerUIBundle.presets = {}; SwaggerUIBundle.SwaggerUIStandalonePreset = {};\n"
        f"{script[1]}\nconsole.log(JSON.stringify(Object.keys(given.spec.paths)))\n",
        encoding="utf-8",
    )
    seen = subprocess.run([node, str(program)], check=True, capture_output=True, text=True).stdout
    assert json.loads(seen) == list(shared.client(None).get("/schema/openapi.json").json()["paths"])


def test_the_api_matches_its_document(served: Served, tmp_path: Path) -> None:
    """Schemathesis sends valid and invalid requests: no 5xx, and no undocumented answer."""
    run_id = served.submit("olga")
    artifact = served.keep(run_id, "plan.log", b"planned\n" * 100)
    served.client("olga").post(f"/runs/{run_id}/cancel")
    known = {"path.run_id": run_id, "path.artifact_id": artifact.artifact_id}
    rules = RULES.read_text(encoding="utf-8")
    for operation in ("get_run", "get_artifact", "get_artifact_content", "stream_run_events"):
        mine = {name: value for name, value in known.items() if "artifact" in operation or "run" in name}
        values = ", ".join(f'"{name}" = "{value}"' for name, value in mine.items())
        rules += f'\n[[operations]]\ninclude-operation-id = "{operation}"\nparameters = {{ {values} }}\n'
    config = tmp_path / "schemathesis.toml"
    config.write_text(rules, encoding="utf-8")
    program = Path(sys.executable).with_name("schemathesis")
    ran = subprocess.run(
        [
            program,
            f"--config-file={config}",
            "run",
            f"{served.address}{BASE}/schema/openapi.json",
            f"--header=Authorization: Bearer {served.tokens['olga']}",
            "--max-examples=15",
            "--request-timeout=20",
            "--continue-on-failure",
            "--seed=1",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    lines = [line[:400] for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, "\n".join(lines)
    assert re.search(r"[1-9]\d\d generated, [1-9]\d\d passed", ran.stdout), "\n".join(lines)
    print("\n".join(lines[-25:]))
