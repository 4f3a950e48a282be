"""Reads the words that `horovodrun` takes, and starts the ranks of one host."""

import argparse
import os
import socket
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="horovodrun", allow_abbrev=False)
    parser.add_argument("-np", "--num-proc", type=int, required=True)
    parser.add_argument("-H", "--hosts", required=True)
    parser.add_argument("--gloo", action="store_true", required=True)
    parser.add_argument("--cycle-time-ms", type=float)
    parser.add_argument("--fusion-threshold-mb", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    host, _, slots = options.hosts.partition(":")
    if host != "localhost" or int(slots) < options.num_proc:
        parser.error(f"{options.hosts} has no room for {options.num_proc} processes")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = []
    for rank in range(options.num_proc):
        environ = {**os.environ, "HOROVOD_RANK": str(rank), "HOROVOD_PORT": port}
        environ["HOROVOD_SIZE"] = str(options.num_proc)
        ranks.append(subprocess.Popen(options.command, env=environ))
    return max(abs(rank.wait()) for rank in ranks)


if __name__ == "__main__":
    sys.exit(main())
