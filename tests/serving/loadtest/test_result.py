"""Numbers of a load test, derived by hand."""

import json

import pytest

from tests.serving.loadtest.conftest import result_of


def test_numbers_of_a_few_requests():
    result = result_of(
        (-0.5, -0.5, -0.1, 0),  # warm-up
        (-0.2, -0.2, 0.3, 0),  # warm-up, answered inside: counts for throughput alone
        (0.0, 0.1, 0.4, 0),  # 400 ms since due, 300 since sent
        (0.5, 0.5, 0.7, 0),  # 200 ms
        (1.0, 1.0, 1.1, 8),  # RESOURCE_EXHAUSTED
        (1.2, 1.2, 1.3, 8),
        (1.5, 1.5, 1.6, 14),  # UNAVAILABLE
        (1.9, 1.9, 2.5, 0),  # 600 ms, answered after the end: no throughput
        (2.1, 2.1, 2.2, 0),  # too late
        seconds=2.0,
        batch=4,
        messages={"UNAVAILABLE": "gone", "OK": "never"},
    )
    assert (result.requests, result.answered) == (6, 3)
    assert result.errors == {"RESOURCE_EXHAUSTED": 2, "UNAVAILABLE": 1}
    assert result.error_rate == 0.5
    assert result.messages == {"UNAVAILABLE": "gone"}
    assert result.throughput == 3 / 2
    assert result.rows_per_second == 6
    assert result.latency == {"mean": 400, "p50": 400, "p95": 600, "p99": 600, "max": 600}
    assert result.latency_from_sending["p50"] == 300


def test_percentiles_are_durations_that_happened():
    result = result_of(*[(0, 0, n / 1000, 0) for n in range(1, 101)])
    assert [result.latency[name] for name in ("p50", "p95", "p99", "max")] == [50, 95, 99, 100]


def test_no_request_is_an_error_and_valid_json(tmp_path):
    result = result_of(seconds=0.0)
    assert result.error_rate == 1
    result.write_json(tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text("utf-8")
    values = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert values["latency"] == {}
    assert values["throughput"] == 0
    assert "samples" not in values


@pytest.mark.parametrize(("busy", "limited"), [(0.5, False), (0.97, True)])
def test_client_that_is_always_busy_is_the_limit(busy, limited):
    assert result_of((0, 0, 0.1, 0), client_busy=busy).client_limited is limited
