"""Prices of jobs by how they are bought, each with what it is for.

A price of 0 was charged as nothing where another was given; where none was, it was "not given".
"""

import json
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    jobs = sa.table("jobs", sa.column("seq", sa.Integer), sa.column("spec", sa.Text))
    connection = op.get_bind()
    for seq, text in connection.execute(sa.select(jobs.c.seq, jobs.c.spec)).all():
        spec = json.loads(text, parse_float=Decimal)
        prices = spec.get("prices")
        if prices is not None:
            spec["prices"] = _book(prices)
            changed = json.dumps(spec, ensure_ascii=False, separators=(",", ":"), default=float)
            connection.execute(sa.update(jobs).where(jobs.c.seq == seq).values(spec=changed))


def _book(old: dict[str, str | Decimal | int]) -> dict[str, object]:
    book: dict[str, object] = {"as_of": old["as_of"], "source": old.get("source", "")}
    core, gpu = old.get("usd_per_core_hour"), old.get("usd_per_gpu_hour")
    if core or gpu or old.get("usd_per_kwh"):
        book["per_core_hour"] = {"on_demand": str(core or 0)}
        book["per_gpu_hour"] = {"any": {"on_demand": str(gpu or 0)}}
    if old.get("usd_per_kwh"):
        book["per_kwh"] = str(old["usd_per_kwh"])
    return book
