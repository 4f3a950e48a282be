"""The server in this process: where it listens, how it ends, what it does about the lease."""

import re
import socket
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.unit.web.fake_service import FakeService
from tuner.errors import StoreError, UserError
from web import server

WAIT_S = 20.0


@contextmanager
def _served(
    service: "_Service", capsys: pytest.CaptureFixture[str], stop: threading.Event
) -> Iterator[str]:
    thread = threading.Thread(target=server.serve, args=(service, "127.0.0.1", 0, stop))
    told = ""
    thread.start()
    try:
        # The service is asked to run just before the address is printed.
        assert service.asked.wait(WAIT_S)
        while (found := re.search(r"at (http://\S+)\n", told)) is None:
            told += capsys.readouterr().err
            assert thread.is_alive()
        yield found[1]
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


class _Service(FakeService):
    """Notes when it is asked to control."""

    def __init__(self, answers: Sequence[bool | Exception] = ()) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = threading.Event()
        self.asked_enough = threading.Event()

    def run(self, stop: threading.Event, *, until_finished: Sequence[str] = ()) -> bool:
        self.asked.set()
        if not self.answers:
            self.asked_enough.set()
            return super().run(stop)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_prints_an_address_that_answers_and_ends_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = threading.Event()
    with _served(_Service(), capsys, stop) as url:
        with urllib.request.urlopen(f"{url}/healthz", timeout=WAIT_S) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            assert b"Trimtab" in answer.read()


def test_asks_again_for_a_lease_held_elsewhere_and_after_an_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "_RETRY_S", 0.0)
    service = _Service([False, StoreError("locked"), False])
    with _served(service, capsys, threading.Event()):
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
