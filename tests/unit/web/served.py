"""The server in this process, on a free port."""

import io
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuner.service import Service
from web import server

WAIT_S = 20.0


class _Said(io.StringIO):
    """A standard error that tells when an address has been printed."""

    def __init__(self) -> None:
        super().__init__()
        self.has_address = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "http://" in text:
            self.has_address.set()
        return written


@contextmanager
def served(service: Service) -> Iterator[str]:
    """Serves until the context ends; gives the address that was printed."""
    said, stop = _Said(), threading.Event()
    thread = threading.Thread(target=server.serve, args=(service, "127.0.0.1", 0, stop))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", said)
        thread.start()
        try:
            assert said.has_address.wait(WAIT_S)
            found = re.fullmatch(r"Trimtab is at (http://\S+)\n?", said.getvalue())
            assert found is not None
            yield found[1]
        finally:
            stop.set()
            thread.join(WAIT_S)
            assert not thread.is_alive()
