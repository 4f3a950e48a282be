"""`trimtab serve`: the HTTP application and the controller in one process."""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from tuner.errors import UserError
from tuner.service import Service
from web.app import create_app

_HOST = "127.0.0.1"
_RETRY_S = 2.0
"""How long to wait for the lease that another process holds, or after an error."""

_log = logging.getLogger(__name__)


def serve(service: Service, host: str, port: int, stop: threading.Event) -> None:
    """Serves and controls until `stop` is set, or SIGINT or SIGTERM comes. Prints its address.

    `port` 0 takes a free one. Gangs that run at the end are left for the next controller to adopt.
    Raises UserError where the address cannot be had.
    """
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(_config(service, port))
        controller = threading.Thread(target=_control, args=(service, stop, server))
        with _signals_end(server):
            controller.start()
            print(f"Trimtab is at http://{_HOST}:{port}", file=sys.stderr, flush=True)  # noqa: T201
            try:
                server.run(sockets=[listener])
            finally:
                stop.set()
                controller.join()


def _listen(host: str, port: int) -> socket.socket:
    if host not in (_HOST, "localhost"):
        raise UserError(
            f"Trimtab does not listen on {host}: there is no authentication yet, and whoever "
            f"reaches the port may start programs. Remedy: listen on {_HOST} and come through "
            "an SSH tunnel"
        )
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise UserError(
            f"Port {port} of {_HOST} cannot be had: {error.strerror}. "
            "Remedy: give another --port, or 0 for a free one"
        ) from error


def _config(service: Service, port: int) -> uvicorn.Config:
    names = [_HOST, "localhost", "[::1]"]
    allowed_hosts = [f"{name}:{port}" for name in names] + (names if port == 80 else [])
    return uvicorn.Config(
        create_app(service, allowed_hosts=allowed_hosts),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=5,
    )


def _control(service: Service, stop: threading.Event, server: uvicorn.Server) -> None:
    """Controls, and asks again for a lease that another process holds."""
    while not stop.is_set():
        try:
            service.run(stop)
        except Exception:
            # The API goes on, shows that no controller is alive, and the next round may do better.
            _log.exception("The controller ended by an error; it starts again in %s s", _RETRY_S)
        stop.wait(_RETRY_S)
    server.should_exit = True


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM end the server politely, whether uvicorn listens to them yet or not.

    Uvicorn raises a signal again once it has ended; these handlers keep that from ending the
    process before the controller has let go. They set a plain flag: a lock could be held already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
