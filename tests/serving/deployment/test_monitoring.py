"""Prometheus finds the server, and alerts speak of metrics that the server has."""

import re

import pytest

from tests.serving.deployment.facts import (
    CODES,
    DURATION,
    ENDPOINT_FIELDS,
    HISTOGRAM,
    METRICS,
    METRICS_PATH,
    RULE_FIELDS,
    SERVICE_MONITOR_FIELDS,
    TARGET_LABELS,
)
from tests.serving.deployment.files import KUBERNETES, SERVING, base, documents, objects_of, one

MONITORING = objects_of(KUBERNETES / "components/monitoring")
QUEUE = KUBERNETES / "components/queue-autoscaling"


def rules():
    [group] = one(MONITORING, "PrometheusRule")["spec"]["groups"]
    return group["rules"]


def expressions():
    [adapter] = documents(QUEUE / "adapter_rules.yaml")[0]["rules"]
    series = re.search(r'__name__="([^"]+)"', adapter["seriesQuery"])[1]
    query = adapter["metricsQuery"].replace("<<.Series>>", series)
    return [rule["expr"] for rule in rules()] + [query.replace("<<.LabelMatchers>>", "")]


def selectors(expression):
    """Metric names with the labels asked of them."""
    found = re.findall(r"(:tensorflow:[a-zA-Z0-9_:]+)(?:\{([^}]*)\})?", expression)
    return [(name, dict(re.findall(r'(\w+)=~?"([^"]*)"', labels))) for name, labels in found]


def described(name):
    """Labels of a series; fails where the server has no such one."""
    if name in METRICS:
        labels, histogram = METRICS[name]
        assert not histogram, f"{name} is a histogram, which has no series of its own name"
        return labels
    [suffix] = [each for each in HISTOGRAM if name.endswith(each)]
    labels, histogram = METRICS[name.removesuffix(suffix)]
    assert histogram
    return labels | ({"le"} if suffix == "_bucket" else set())


@pytest.mark.parametrize("expression", expressions())
def test_series_and_labels_are_the_server_s(expression):
    found = selectors(expression)
    assert found or expression.startswith("sum(up{")
    known = set()
    for name, asked in found:
        labels = described(name)
        known |= labels
        assert set(asked) <= labels | TARGET_LABELS
        if "status" in asked and "request_count" in name:
            assert set(asked["status"].split("|")) <= CODES
    for grouping in re.findall(r"by \(([^)]*)\)", expression):
        if "<<" not in grouping:
            assert {each.strip() for each in grouping.split(",")} <= known


def test_rules_have_the_operator_s_fields():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) == 6
    for rule in rules():
        assert set(rule) <= RULE_FIELDS
        assert re.match(DURATION, rule.get("for", "0"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        # A summary may name only a label that the expression keeps.
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"])


def test_the_monitor_selects_one_service_and_a_port_of_it():
    spec = one(MONITORING, "ServiceMonitor")["spec"]
    assert set(spec) <= SERVICE_MONITOR_FIELDS
    [endpoint] = spec["endpoints"]
    assert set(endpoint) <= ENDPOINT_FIELDS
    assert re.match(DURATION, endpoint["interval"])
    assert endpoint["path"] == METRICS_PATH
    wanted = spec["selector"]["matchLabels"].items()
    [service] = [
        each for each in base()
        if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
    ]  # fmt: skip
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    # The label that becomes `job`, which every alert asks for.
    job = service["metadata"]["labels"][spec["jobLabel"]]
    for rule in rules():
        assert f'job="{job}"' in rule["expr"]


def test_compose_s_prometheus_reads_the_same_path_and_names_the_same_job():
    [config] = documents(SERVING / "prometheus.yaml")
    [job] = config["scrape_configs"]
    assert job["metrics_path"] == METRICS_PATH
    assert job["job_name"] == "mite-serving"
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_makes():
    [rule] = documents(QUEUE / "adapter_rules.yaml")[0]["rules"]
    [scaler] = documents(QUEUE / "autoscaler.yaml")
    [queue] = [each["pods"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert queue["metric"]["name"] == rule["name"]["as"]
    assert scaler["metadata"]["name"] == one(base(), "HorizontalPodAutoscaler")["metadata"]["name"]
    # The processor still counts: the patch replaces the whole list.
    assert (
        scaler["spec"]["metrics"][0]
        == (one(base(), "HorizontalPodAutoscaler")["spec"]["metrics"][0])
    )
