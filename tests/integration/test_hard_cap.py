"""A cap in money with real gangs that do not want to end: what is spent stays below it."""

import threading
from decimal import Decimal
from pathlib import Path

import pytest

from tuner.jobfile import load_job
from tuner.model import JobState
from tuner.service import Service

CAP = Decimal(12)

JOB = f"""
name: stubborn
workload:
  command:
    - ${{python}}
    - -c
    - |
      import random, signal, sys, time
      from tuner import report
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
      while True:
          time.sleep(random.uniform(0.005, 0.05))
          report.step(samples=int(sys.argv[1]))
    - ${{batch}}
space: {{params: {{batch: {{options: [10, 20]}}}}}}
budget: {{trials: 2, usd: {CAP}}}
measuring: {{precision_pct: 0.001}}
resources: {{cores_per_node: 1, gpus_per_node: 0}}
prices: {{as_of: 2026-11-01, per_core_hour: {{on_demand: 3600}}}}  # a dollar a second
apply: {{mode: 'off'}}
"""


@pytest.mark.slow
def test_a_gang_that_has_to_be_killed_is_stopped_in_time(tmp_path: Path) -> None:
    with Service(tmp_path / "home") as service:
        job = service.create_job(load_job(JOB), actor="test")
        assert service.run(threading.Event(), until_finished=[job.id])
        ledger = service.ledger(job.id)
        assert service.job(job.id).state in (JobState.SUCCEEDED, JobState.FAILED)
    assert ledger.spend.usd is not None
    assert CAP / 2 < ledger.spend.usd <= CAP
    assert ledger.spend.usd == sum(line.spend.usd or 0 for line in ledger.lines)
