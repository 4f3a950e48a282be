"""A web server that knows nothing of Trimtab: finds the nearest of some points, in plain Python."""

import argparse
import functools
import json
import os
import random
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POINTS = [(random.Random(i).random(), random.Random(-i).random()) for i in range(2000)]


def nearest(x: float, y: float) -> int:
    return min(range(len(POINTS)), key=lambda i: (POINTS[i][0] - x) ** 2 + (POINTS[i][1] - y) ** 2)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet
    find = staticmethod(nearest)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"nearest": type(self).find(asked["x"], asked["y"])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cache", type=int, default=0, help="answers that are remembered")
    options = parser.parse_args()
    if options.cache:
        Answers.find = staticmethod(functools.lru_cache(options.cache)(nearest))
    for _ in range(options.processes - 1):
        if os.fork() == 0:
            break  # the kernel deals connections out among all who listen on the port
    Server(("127.0.0.1", options.port), Answers).serve_forever()


if __name__ == "__main__":
    main()
