"""A fleet that stays: `python -m workloads.serving.fleet --port=8600 --admin-port=8601`.

Requests come to `--host` and `--port`; the interface for whoever runs it
(`workloads.serving.admin`) is on the loopback only.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from workloads.serving import wire
from workloads.serving.admin import Admin
from workloads.serving.members import Fleet, ReplicaError
from workloads.serving.options import (
    FleetOptions,
    Parser,
    UsageError,
    add_fleet_options,
    count,
    fleet_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where it listens; port 0 is any free one."""

    host: str
    port: int
    admin_port: int


def parse(words: Sequence[str]) -> tuple[FleetOptions, Addresses]:
    """Raises UsageError."""
    parser = Parser(prog="fleet", allow_abbrev=False)
    add_fleet_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="whose requests it takes")
    parser.add_argument("--port", type=count(0), default=8600)
    parser.add_argument("--admin-port", type=count(0), default=8601, help="of 127.0.0.1, always")
    found = parser.parse_args(words)
    addresses = Addresses(host=found.host, port=found.port, admin_port=found.admin_port)
    return fleet_options(found), addresses


async def run(options: FleetOptions, addresses: Addresses) -> None:
    """Serves until it is told to end. Raises ReplicaError, OSError."""
    fleet = Fleet(options)
    keeping = asyncio.create_task(fleet.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, keeping.cancel)
    public = await wire.serve(fleet.router.answer, addresses.host, addresses.port)
    admin = await wire.serve(Admin(fleet).answer, "127.0.0.1", addresses.admin_port)
    told = {"port": wire.port_of(public), "admin_port": wire.port_of(admin)}
    print(json.dumps(told), flush=True)
    try:
        await keeping
    except asyncio.CancelledError:
        public.close()
    finally:
        await fleet.close()


def main(words: Sequence[str]) -> int:
    """The exit code: 2 for options that cannot be, 1 where no replica starts."""
    try:
        asyncio.run(run(*parse(words)))
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except (ReplicaError, OSError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
