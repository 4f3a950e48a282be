"""Records a tuning surface: every configuration of a job, measured by Trimtab's own trials.

    python benchmarks/record_surface.py benchmarks/surfaces/dlrm.yaml

writes `<family>.csv` and the task's entry in `tasks.json` beside the job file, in the format that
`benchmarks/search.py` reads. The computer should be idle; it takes a trial per configuration.
"""

import argparse
import csv
import json
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from tuner.expression import Value
from tuner.jobfile import load_job_file
from tuner.model import Trial
from tuner.service import Service
from tuner.space import Float
from tuner.spec import JobSpec

NONE = "none"
"""The value of a parameter that does not apply to a configuration."""


def record(spec: JobSpec) -> list[Trial]:
    """One trial per member of the space, in this process; none is confirmed or applied."""
    count = sum(1 for _ in spec.space.members())
    everything = replace(
        spec,
        search=replace(spec.search, method="grid"),
        budget=replace(spec.budget, trials=count, minutes=None, usd=None),
        apply=replace(spec.apply, mode="off"),
    )
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as service:
        job = service.create_job(everything, actor="record")
        stop = threading.Event()
        leading = threading.Thread(target=service.run, args=(stop,))
        leading.start()
        try:
            while leading.is_alive() and not _has_all(service, job.id, count):
                print(f"{service.progress(job.id).trials_done} of {count}", file=sys.stderr)
                stop.wait(10)
        finally:
            stop.set()
            leading.join()
        return service.trials(job.id)


def _has_all(service: Service, job_id: str, count: int) -> bool:
    ended = sum(t.state.is_finished for t in service.trials(job_id))
    return ended >= count or service.job(job_id).state.is_finished


def rows_of(task: str, names: list[str], trials: list[Trial]) -> list[dict[str, Value]]:
    """What is minimised is money per million samples; what failed costs twice the worst."""
    measured = {t.number: t.measurement.metrics for t in trials if t.measurement is not None}
    worst = max(m["usd_per_million_samples"] for m in measured.values())
    rows = []
    for trial in trials:
        metrics = measured.get(trial.number, {})
        rows.append(
            {
                "task": task,
                **{f"k_{name}": trial.params.get(name, NONE) for name in names},
                "time": 1e6 / metrics["samples_per_s"] if metrics else "",
                "price_h": metrics.get("usd_per_hour", ""),
                "y": metrics.get("usd_per_million_samples", 2 * worst),
                "spend": (trial.ended_at - trial.created_at).total_seconds()
                if trial.ended_at
                else "",
                "feasible": bool(metrics),
                "samples_per_s": metrics.get("samples_per_s", ""),
            }
        )
    return rows


def knob(name: str, rows: list[dict[str, Value]]) -> dict[str, object]:
    """The entry of a parameter in `tasks.json`."""
    values = {row[f"k_{name}"] for row in rows}
    numeric = all(isinstance(v, int | float) for v in values)
    ordered = sorted(values, key=lambda v: (v if isinstance(v, int | float) else 0, str(v)))
    return {"name": f"k_{name}", "kind": "num" if numeric else "cat", "values": ordered}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("job", type=Path, help="a job file whose space is finite")
    parser.add_argument("--json", action="store_true", help="print the task's entry as JSON")
    arguments = parser.parse_args()
    spec = load_job_file(arguments.job)
    if any(isinstance(p, Float) for p in spec.space.params.values()):
        print("the space has a float: it cannot be listed", file=sys.stderr)
        return 2
    names, folder, task = list(spec.space.params), arguments.job.parent, spec.name
    rows = rows_of(task, names, record(spec))
    with (folder / f"{task}.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    listing = folder / "tasks.json"
    tasks = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else {}
    tasks[task] = {
        "family": task,
        "knobs": [knob(name, rows) for name in names],
        "n": len(rows),
        "spend_unit": "s",
        "objective": "USD per million samples",
        "opt": min(float(row["y"]) for row in rows),
    }
    listing.write_text(json.dumps(tasks, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(tasks[task]) if arguments.json else f"{len(rows)} rows: {folder / task}.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
