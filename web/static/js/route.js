// The address holds what is shown: `#/jobs/ID/trials/7?rank=1`. Whoever gets the link sees the same.

export function currentRoute() {
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  const [noun, job, trials, number] = path.split("/").filter(Boolean).map(decodeURIComponent);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (noun === "jobs" && job && trials === "trials" && number) return { name: "trial", path, job, number, query };
  if (noun === "jobs" && job) return { name: "job", path, job, query };
  return { name: "jobs", path: "/jobs", query };
}

/** Changes a part of what is shown, without a new entry in the history. */
export function setQuery(changes) {
  const { path, query } = currentRoute();
  const next = Object.fromEntries(Object.entries({ ...query, ...changes }).filter(([, value]) => value !== null && value !== ""));
  const search = new URLSearchParams(next).toString();
  history.replaceState(null, "", `#${path}${search ? `?${search}` : ""}`);
  dispatchEvent(new Event("hashchange"));
}

export function jobHref(job) {
  return `#/jobs/${encodeURIComponent(job)}`;
}

export function trialHref(job, number) {
  return `${jobHref(job)}/trials/${number}`;
}
