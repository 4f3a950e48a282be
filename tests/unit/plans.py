"""A plan for tests of targets and roll-outs."""

from tests.unit.builders import NOON
from tuner.model import LaunchCommand, Placement, Plan, Spend


def a_plan(*, batch: int = 1024, job_id: str = "job_1", trial_number: int = 3) -> Plan:
    """A better plan whose command depends on `batch`."""
    return Plan(
        id=f"plan_{batch}",
        job_id=job_id,
        verdict="better",
        trial_number=trial_number,
        params={"global_batch_size": batch},
        baseline_params={"global_batch_size": 256},
        command=LaunchCommand(
            argv=("train", f"--batch={batch}"),
            env={"OMP_WAIT_POLICY": "PASSIVE"},
            working_dir="/",
            nnodes=1,
            nproc_per_node=1,
            per_rank=True,
        ),
        placement=Placement(cores=((0, 1),), gpus=((),)),
        gain_pct=20.0,
        gain_low_pct=15.0,
        gain_high_pct=25.0,
        pairs=(),
        baseline_metrics={"samples_per_s": 1000.0},
        metrics={"samples_per_s": 1200.0},
        learning_changes=(),
        quality_ok=None,
        search_spend=Spend(wall_s=60),
        payback_samples=None,
        payback_s=None,
        explanation=("Trial 3 is better.",),
        created_at=NOON,
    )
