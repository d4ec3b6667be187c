"""Numbers of a load test, derived by hand."""

import json
import math

import pytest

from tests.serving.loadtest.results import nothing, result_of


def test_numbers_of_a_few_requests(samples):
    result = result_of(
        samples(
            (-0.5, -0.5, -0.1, 0),  # warm-up
            (-0.2, -0.2, 0.3, 0),  # warm-up, answered inside: counts for throughput alone
            (0.0, 0.1, 0.4, 0),  # 400 ms since due, 300 since sent
            (0.5, 0.5, 0.7, 0),  # 200 ms
            (1.0, 1.0, 1.1, 8),  # RESOURCE_EXHAUSTED
            (1.2, 1.2, 1.3, 8),
            (1.5, 1.5, 1.6, 14),  # UNAVAILABLE
            (1.9, 1.9, 2.5, 0),  # 600 ms, answered after the end: no throughput
            (2.1, 2.1, 2.2, 0),  # too late
        ),
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
    assert (result.latency.p50, result.latency.p99, result.latency.max) == (400, 600, 600)
    assert result.latency.mean == pytest.approx(400)
    assert result.latency_from_sending.p50 == 300
    assert (result.bytes_sent, result.bytes_received) == (60, 600)
    assert result.client_cores == 1.0


def test_no_request_is_an_error_and_valid_json(tmp_path):
    result = result_of(nothing(), seconds=0.0)
    assert math.isnan(result.latency.p99)
    assert result.error_rate == 1
    result.write_json(tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text("utf-8")
    values = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert values["latency"]["p99"] is None
    assert values["throughput"] == 0


@pytest.mark.parametrize(("busy", "limited"), [(0.5, False), (0.97, True)])
def test_client_that_is_always_busy_is_the_limit(samples, busy, limited):
    result = result_of(samples((0, 0, 0.1, 0)), client_busy=busy)
    assert result.client_limited is limited
