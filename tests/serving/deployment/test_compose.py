"""The compose file is one, and agrees with the cluster."""

import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import jsonschema
import pytest

from tests.serving.deployment.files import SERVING, base, compose, container_of, one


def service():
    return compose()["services"]["serving"]


def test_it_keeps_the_compose_specification():
    found = find_spec("check_jsonschema")
    if found is None:
        pytest.skip("check-jsonschema, which brings the schema, is not installed")
    path = Path(found.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(compose(), schema)


def test_image_ports_and_user_are_those_of_the_cluster():
    deployment = one(base(), "Deployment")
    container = container_of(deployment)
    assert service()["image"] == container["image"] == "tensorflow/serving:2.20.0"
    assert service()["entrypoint"] == container["command"]
    published = [re.fullmatch(r".*:(\d+):(\d+)", port).groups() for port in service()["ports"]]
    assert [(int(a), int(b)) for a, b in published] == [
        (each["containerPort"],) * 2 for each in container["ports"]
    ]
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert service()["user"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    mounts = {each["mountPath"]: each["readOnly"] for each in container["volumeMounts"][:2]}
    assert {each["target"]: each["read_only"] for each in service()["volumes"]} == mounts


@pytest.mark.parametrize("name", ["serving", "prometheus"])
def test_containers_hold_no_power(name):
    container = compose()["services"][name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in container
    # Only this machine reaches a port that nobody opened on purpose.
    assert all(port.startswith("${MITE_BIND:-127.0.0.1}:") for port in container["ports"])


def test_mounted_files_exist():
    for each in compose()["services"].values():
        for volume in each["volumes"]:
            path = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume["source"])
            if volume["type"] == "bind" and "MITE_EXPORT" not in path:
                assert (SERVING / path).exists()
    named = [
        v for s in compose()["services"].values() for v in s["volumes"] if v["type"] == "volume"
    ]
    assert {each["source"] for each in named} == set(compose()["volumes"])


class Models(BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving's GetModelStatus does over REST."""

    states: ClassVar[dict[str, str]] = {}

    def do_GET(self):
        state = self.states.get(self.path.rpartition("/")[2])
        body = {"model_version_status": [{"version": "1", "state": state, "status": {}}]}
        if state is None:
            body = {"error": "Could not find any versions of model"}
        self.send_response(200 if state else 404)
        self.end_headers()
        self.wfile.write(json.dumps(body, indent=1).encode())

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize(
    ("states", "healthy"),
    [
        ({"image": "AVAILABLE", "text": "AVAILABLE"}, True),
        ({"image": "AVAILABLE", "text": "LOADING"}, False),
        ({"text": "AVAILABLE"}, False),
        (None, False),
    ],
)
def test_the_health_check_wants_both_models(states, healthy):
    kind, shell, option, script = service()["healthcheck"]["test"]
    assert (kind, shell, option) == ("CMD", "bash", "-c")
    server = HTTPServer(("127.0.0.1", 0), type("Answers", (Models,), {"states": states or {}}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    script = script.replace("$$", "$").replace("/8501", f"/{server.server_port}")
    if states is None:
        server.shutdown()
        server.server_close()
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20)
    if states is not None:
        server.shutdown()
        server.server_close()
    assert (done.returncode == 0) is healthy
