"""What a tuning job found, for a person: the answer first, then the evidence. Pure text."""

import shlex
from collections.abc import Sequence

from tuner.application import Application
from tuner.cli import text
from tuner.cli.output import Table, aligned
from tuner.model import Job, LaunchCommand, Plan
from tuner.spec import JobSpec

_ALWAYS_SHOWN = (
    "usd_per_million_samples",
    "joules_per_sample",
    "time_to_first_step_s",
    "peak_memory_gib",
    "gpu_peak_memory_gib",
)


def summary(job: Job, plan: Plan, application: Application | None) -> list[str]:
    """The final report of a job that made a plan."""
    lines = [answer(job, plan), "", *aligned(comparison(plan, job.spec))]
    lines += ["", *_quality_lines(plan, job.spec)]
    lines += ["Parameters", *_indented(aligned(parameter_table(plan))), ""]
    lines += aligned(Table(columns=("", ""), rows=_facts(job, plan, application)))
    return lines


def answer(job: Job, plan: Plan) -> str:
    """The verdict in a sentence; the job's message adds why its policy did not apply the plan."""
    said = plan.explanation[0] if plan.explanation else plan.verdict
    return job.message if job.message.startswith(said) else said


def gain_range(plan: Plan) -> str:
    """The gain in a table cell."""
    if plan.gain_pct is None:
        return text.UNKNOWN
    low, high = text.percent(plan.gain_low_pct), text.percent(plan.gain_high_pct)
    return f"{text.percent(plan.gain_pct)} ({low} to {high})"


def shown_metrics(plan: Plan, spec: JobSpec) -> list[str]:
    """The metrics worth a row: objectives, limits, quality, then cost and memory."""
    wanted = [objective.metric for objective in spec.objectives]
    wanted += [limit.metric for limit in spec.limits]
    wanted += [spec.quality.metric] if spec.quality else []
    measured = [name for name in _ALWAYS_SHOWN if name in plan.metrics]
    return list(dict.fromkeys([*wanted, *measured]))


def comparison(plan: Plan, spec: JobSpec) -> Table:
    """Baseline against plan, means over the confirming pairs."""
    columns: tuple[str, ...] = ("Metric", "Baseline", f"Trial {plan.trial_number}", "Change")
    rows: list[tuple[str, ...]] = []
    for name in shown_metrics(plan, spec):
        old, new = plan.baseline_metrics.get(name), plan.metrics.get(name)
        is_quality = spec.quality is not None and spec.quality.metric == name
        change = _difference(new, old) if is_quality else text.percent(text.change_pct(new, old))
        rows.append((name, text.metric(name, old), text.metric(name, new), change))
    if plan.trial_number == 0:
        columns, rows = columns[:2], [row[:2] for row in rows]
    return Table(columns=columns, rows=rows, right=frozenset(columns[1:]))


def _difference(new: float | None, old: float | None) -> str:
    return text.UNKNOWN if new is None or old is None else f"{new - old:+.4f}"


def parameter_table(plan: Plan) -> Table:
    """Every parameter of the plan, what differs from the baseline marked by an arrow."""
    if plan.trial_number == 0:
        default = [(name, text.value(item)) for name, item in plan.params.items()]
        return Table(columns=("", ""), rows=default)
    rows = []
    for name in dict.fromkeys([*plan.baseline_params, *plan.params]):
        old, new = plan.baseline_params.get(name), plan.params.get(name)
        arrow = "->" if new != old else ""
        learning = "changes the learning" if name in plan.learning_changes else ""
        rows.append((name, text.value(old), arrow, text.value(new), learning))
    return Table(columns=("", "", "", "", ""), rows=rows)


def _quality_lines(plan: Plan, spec: JobSpec) -> list[str]:
    """The quality figure at equal samples, in words; nothing where none was asked for."""
    quality = spec.quality
    if quality is None:
        return []
    samples = plan.metrics.get("quality_samples")
    after = f" after {text.count(samples)} samples each" if samples else " at equal samples"
    words = {True: "kept", False: "NOT kept", None: "not measured"}[plan.quality_ok]
    allowed = f"a loss of {quality.max_loss:g} is allowed"
    return [f"Quality ({quality.metric}{after}): {words}; {allowed}.", ""]


def _facts(job: Job, plan: Plan, application: Application | None) -> list[tuple[str, str]]:
    facts = [("Search cost", text.spend(plan.search_spend))]
    if plan.pairs:
        facts.append(("Evidence", f"{len(plan.pairs)} fresh, interleaved pairs of runs"))
    if plan.verdict == "better":
        facts.append(("Pays back", _payback(plan)))
    facts.append(("Plan", f"{plan.id} (job {job.name}, {job.id})"))
    return [*facts, ("Applied", applied(job, plan, application))]


def _payback(plan: Plan) -> str:
    if plan.payback_samples is None:
        return "never, or unknown"
    after = f"after {text.count(plan.payback_samples)} samples"
    if plan.payback_s is None:
        return after
    return f"{after}, {text.duration(plan.payback_s)} of running with the plan"


def applied(job: Job, plan: Plan, application: Application | None) -> str:
    """Where the plan was put, or why it was not and what to do."""
    if application is not None:
        is_there = application.state.is_on_target
        there = "yes, written to" if application.target_kind == "file" else "yes, on"
        words = there if is_there else f"{application.state},"
        message = f"; {application.message}" if application.message else ""
        return f"{words} {application.target_path}{message}"
    if plan.verdict != "better":
        return "no, there is nothing to apply"
    target = job.spec.apply.target
    if target is None:
        return "no, the job file names no target (apply.target)"
    return f"no (mode {job.spec.apply.mode}); `trimtab apply {plan.id}` puts it on {target.place}"


def next_steps(job: Job, plan: Plan, application: Application | None) -> list[str]:
    """Commands to try from here, each with what it does."""
    steps = [
        ("trimtab serve", "dashboard and API on http://127.0.0.1:8080"),
        (f"trimtab trial list --job {job.name}", "everything that was tried"),
        (f"trimtab plan get {plan.id}", "the plan with its evidence and launch command"),
    ]
    if application is None and job.spec.apply.target is not None and plan.verdict == "better":
        steps.append((f"trimtab apply {plan.id}", "put it on its target"))
    if application is not None and application.state.is_on_target:
        if application.target_kind == "file":
            start = f"trimtab start {application.target_path}"
            steps.append((start, "run the job as the plan file says"))
        steps.append((f"trimtab rollback {application.id}", "put back what was there before"))
    return ["Next", *_indented(aligned(Table(columns=("", ""), rows=steps)))]


def plan_details(job: Job, plan: Plan, application: Application | None) -> list[str]:
    """The summary, the reasons, the pairs and the exact command."""
    lines = summary(job, plan, application)
    if plan.explanation:
        lines += ["", "Why", *_indented(plan.explanation)]
    if plan.pairs:
        lines += ["", "Pairs", *_indented(aligned(_pair_table(plan, job.spec)))]
    return [*lines, "", "Command", *_indented(launch_lines(plan))]


def launch_lines(plan: Plan) -> list[str]:
    """What would run, and where."""
    cores = "; ".join(",".join(map(str, node)) or "any" for node in plan.placement.cores)
    gpus = "; ".join(",".join(map(str, node)) or "none" for node in plan.placement.gpus)
    rows = [
        ("words", shell_words(plan.command)),
        ("folder", plan.command.working_dir),
        ("started", shape(plan.command)),
        ("cores", f"{cores} (of each node)"),
        ("GPUs", f"{gpus} (of each node)"),
        ("hash", plan.hash),
    ]
    return aligned(Table(columns=("", ""), rows=rows))


def shell_words(command: LaunchCommand) -> str:
    """A command as one could type it."""
    env = [f"{name}={shlex.quote(item)}" for name, item in sorted(command.env.items())]
    return " ".join([*env, shlex.join(command.argv)])


def shape(command: LaunchCommand) -> str:
    """How many processes a command is started as."""
    ranks = f"{command.nnodes} node(s) x {command.nproc_per_node} rank(s)"
    how = "a process per rank" if command.per_rank else "one process in all"
    return f"{ranks}, {how}"


def _pair_table(plan: Plan, spec: JobSpec) -> Table:
    name = spec.objectives[0].metric
    rows = [
        (
            str(pair.number),
            "plan" if pair.candidate_first else "baseline",
            text.metric(name, pair.baseline.get(name)),
            text.metric(name, pair.candidate.get(name)),
            text.percent(pair.gain_pct),
        )
        for pair in plan.pairs
    ]
    columns = ("Pair", "First", "Baseline", "Plan", "Gain")
    return Table(columns=columns, rows=rows, right=frozenset(columns[2:]))


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
