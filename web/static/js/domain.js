// What the figures of a job mean: values, gains, limits, the best so far.

/** The value of a metric of a trial or attempt; null where there is none. */
export function valueOf(measured, metric) {
  return measured?.measurement?.metrics[metric] ?? null;
}

export function intervalOf(measured, metric) {
  return measured?.measurement?.intervals[metric] ?? null;
}

/** Per cent by which `value` is better (above 0) or worse than `reference`. */
export function gainPct(value, reference, direction) {
  if (value === null || reference === null || reference === 0) return null;
  const ratio = direction === "minimize" ? reference / value : value / reference;
  return Number.isFinite(ratio) ? 100 * (ratio - 1) : null;
}

/** The limits that a trial breaks, in words. */
export function brokenLimits(trial, spec) {
  return spec.limits.flatMap((limit) => {
    const value = valueOf(trial, limit.metric);
    if (value === null) return [];
    if (limit.max !== null && value > limit.max) return [`${limit.metric} above ${limit.max}`];
    if (limit.min !== null && value < limit.min) return [`${limit.metric} below ${limit.min}`];
    return [];
  });
}

export function isBetter(value, than, direction) {
  return direction === "minimize" ? value < than : value > than;
}

/** [number, best value up to that trial] for every trial that raised it and may win. */
export function bestSoFar(trials, objective) {
  const steps = [];
  for (const trial of trials) {
    const value = valueOf(trial, objective.metric);
    if (value === null || !trial.admissible) continue;
    if (!steps.length || isBetter(value, steps.at(-1)[1], objective.direction)) steps.push([trial.number, value]);
  }
  return steps;
}

/** The objective that the address names, else the first. */
export function chosenObjective(spec, name) {
  return spec.objectives.find((objective) => objective.metric === name) ?? spec.objectives[0];
}

/** Parameter rows of two configurations: name, both values, whether they differ. */
export function compareParams(baseline, params) {
  const names = [...new Set([...Object.keys(baseline), ...Object.keys(params)])];
  return names.map((name) => ({
    name,
    before: baseline[name],
    after: params[name],
    differs: baseline[name] !== params[name],
  }));
}

/** Which way a metric is better: an objective's direction first, then the table of known metrics. */
export function directionOf(metric, spec, metrics) {
  const objective = spec.objectives.find((one) => one.metric === metric);
  if (objective) return objective.direction;
  const better = metrics.get(metric)?.better;
  return better === "lower" ? "minimize" : better === "higher" ? "maximize" : null;
}

export function isFinished(state) {
  return ["succeeded", "failed", "cancelled"].includes(state);
}

/** How many processes, and so logs, an attempt has. */
export function processes({ workload }, params) {
  const perRank = workload.launch === "per_rank" || (workload.launch === null && workload.name !== null);
  return perRank ? (params.nnodes ?? 1) * (params.nproc_per_node ?? workload.nproc_per_node) : 1;
}
