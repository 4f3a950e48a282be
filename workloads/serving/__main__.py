"""One trial: a fleet of its own, and the load on it. Options of both; see `load` and `fleet`."""

import sys
from collections.abc import Sequence

from workloads.serving import bodies, load, wire
from workloads.serving.client import Client
from workloads.serving.options import (
    Parser,
    UsageError,
    add_fleet_options,
    count,
    fleet_options,
    number,
    words_of,
)

_HOST = "127.0.0.1"


def main(words: Sequence[str]) -> int:
    """The exit code: 2 for options that cannot be."""
    parser = Parser(prog="serving", allow_abbrev=False)
    add_fleet_options(parser)
    load.add_load_options(parser)
    parser.add_argument("--candidates", type=count(1), default=64, help="items to rank, a request")
    parser.add_argument("--zipf", type=number(0), default=1.05, help="skew of users and items")
    try:
        found = parser.parse_args(words)
        options = fleet_options(found)
        port, admin_port = load.free_port(), load.free_port()
        figures_url = wire.Url(_HOST, admin_port, "/figures", tls=False)
        told = load.load_of(found, figures_url)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    fleet = {"replicas": options.replicas, "routing": options.routing}
    fleet |= {"port": port, "admin_port": admin_port}
    command = [sys.executable, "-m", "workloads.serving.fleet", *words_of(fleet)]
    requests = bodies.rankings(
        options.replica.users, options.replica.items, found.candidates, found.zipf, found.load_seed
    )
    sending = load.sending_of(found, wire.Url(_HOST, port, "/rank", tls=False), "POST")
    return load.run(told, Client(sending, requests), [*command, *options.replica.words()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
