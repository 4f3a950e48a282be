import math

import pytest

from tuner.estimate.queueing import (
    Replicas,
    erlang_c,
    mean_wait_s,
    response_quantile_s,
    utilization,
    wait_quantile_s,
)


def test_erlang_c_of_the_textbook() -> None:
    """M/M/2 at ρ = 0.5 waits with probability 1/3; 10 servers at 8 erlangs with 0.409."""
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)
    assert erlang_c(8.0, 10) == pytest.approx(0.409, abs=5e-4)
    assert erlang_c(3.0, 3) == 1


def test_one_exponential_server() -> None:
    """λ = 8, μ = 10: W_q = 0.4 s, and the response is exponential with mean 0.5 s."""
    one = Replicas(count=1, service_s=0.1)
    assert utilization(8, one) == pytest.approx(0.8)
    assert mean_wait_s(8, one) == pytest.approx(0.4)
    assert response_quantile_s(8, one) == pytest.approx(0.5 * math.log(100))
    assert wait_quantile_s(8, one, 0.99) == pytest.approx(0.5 * math.log(80))


def test_a_constant_service_halves_the_wait() -> None:
    """Pollaczek-Khinchine for M/D/1."""
    assert mean_wait_s(8, Replicas(count=1, service_s=0.1, service_scv=0)) == pytest.approx(0.2)


def test_two_servers_of_the_textbook() -> None:
    """λ = 10, two servers of 0.1 s: W_q = C / (kμ - λ) = 1/3 / 10."""
    two = Replicas(count=2, service_s=0.1)
    assert mean_wait_s(10, two) == pytest.approx(1 / 30)
    assert response_quantile_s(10, two) > 0.1 * math.log(100)


def test_full_load_waits_for_ever_and_a_light_one_not_at_all() -> None:
    three = Replicas(count=3, service_s=0.1, service_scv=0.5)
    assert math.isinf(mean_wait_s(30, three))
    assert math.isinf(response_quantile_s(31, three))
    assert wait_quantile_s(0.1, three, 0.99) == 0
