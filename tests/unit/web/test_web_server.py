"""The server in this process: where it listens, how it ends, what it does about the lease."""

import socket
import threading
import urllib.request
from collections.abc import Sequence

import pytest

from tests.unit.web.fake_service import FakeService
from tests.unit.web.served import WAIT_S, served
from tuner.errors import StoreError, UserError
from web import server


class _Service(FakeService):
    """Notes when it is asked to control."""

    def __init__(self, answers: Sequence[bool | Exception] = ()) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked_enough = threading.Event()

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        if not self.answers:
            self.asked_enough.set()
            return super().run(stop)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_prints_an_address_that_answers_and_ends_when_asked() -> None:
    with served(FakeService()) as url:
        with urllib.request.urlopen(f"{url}/healthz", timeout=WAIT_S) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            assert b"Trimtab" in answer.read()


def test_asks_again_for_a_lease_held_elsewhere_and_after_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_RETRY_S", 0.0)
    service = _Service([False, StoreError("locked"), False])
    with served(service):
        assert service.asked_enough.wait(WAIT_S)
    assert service.runs == 1
    assert "StoreError: locked" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])
def test_refuses_to_be_reached_from_elsewhere(host: str) -> None:
    with pytest.raises(UserError, match=f"{host}: there is no authentication yet"):
        server.serve(FakeService(), host, 0, threading.Event())


def test_a_port_in_use_names_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"Port {port} .* --port"):
            server.serve(FakeService(), "127.0.0.1", port, threading.Event())
