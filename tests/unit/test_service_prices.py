"""A job in money is refused where it is created, if no computer could know what it costs."""

from pathlib import Path

import pytest

from tests.unit.builders import spec
from tuner.errors import UserError
from tuner.service import Service


def test_a_job_in_money_without_prices_is_not_created(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        with pytest.raises(UserError, match="limit in money needs `prices`"):
            service.create_job(spec(limits=[{"metric": "usd_per_hour", "max": 1.0}]), actor="ann")
        book = {"as_of": "2026-11-01", "per_gpu_hour": {"any": {"on_demand": 2}}}
        with pytest.raises(UserError, match=r"needs prices\.per_core_hour\.on_demand; write 0"):
            service.create_job(spec(budget={"usd": 1}, prices=book), actor="ann")
        assert service.jobs() == []
