import pytest

from tuner.executors.surroundings import Surroundings, parse_network, parse_pressure

NETWORK = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0
  eth0:      70       1    0    0    0     0          0         0       30       1    0    0
  eth1:       7       1    0    0    0     0          0         0        3       1    0    0
 veth9: 5000000       1    0    0    0     0          0         0  6000000       1    0    0
"""


def test_bridges_do_not_count_bytes_again() -> None:
    found = parse_network(NETWORK, lambda name: name.startswith("eth"))
    assert found == {
        "loopback_bytes": 1000,
        "network_received_bytes": 77,
        "network_sent_bytes": 33,
    }


def test_a_container_without_hardware_counts_what_it_has() -> None:
    found = parse_network(NETWORK, lambda name: False)
    assert found["network_sent_bytes"] == 6000033


def test_no_network_is_unknown() -> None:
    head = "".join(NETWORK.splitlines(keepends=True)[:2])
    assert parse_network(head, lambda name: True) == {}
    assert parse_network(head + "  lo: 5 1 0 0 0 0 0 0 5 1 0 0\n", lambda name: True) == {
        "loopback_bytes": 5
    }


def test_time_that_work_waited_for_a_core() -> None:
    text = "some avg10=80.84 avg60=78.64 avg300=55.72 total=4009728344\nfull avg10=0 total=7\n"
    assert parse_pressure(text) == {"cpu_pressure_s": pytest.approx(4009.728344)}
    assert parse_pressure("") == {}


def test_sums_begin_with_it() -> None:
    surroundings = Surroundings({0})
    surroundings.look()
    for name, value in surroundings.sums.items():
        assert name.endswith(("_s", "_bytes"))
        if name.endswith("_s"):
            assert 0 <= value < 30
    assert surroundings.sums.items() <= surroundings.over_run().items()
    assert not set(surroundings.levels) & set(surroundings.sums)
