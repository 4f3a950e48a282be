// What a person can ask for: a question first where it matters, then the wish, then a fresh look.

import { at, post } from "./api.js";
import { confirmed, notify } from "./dialog.js";
import { capital } from "./format.js";

const busy = new Set();

export function isBusy(path) {
  return busy.has(path);
}

async function wish(path, said, refresh) {
  busy.add(path);
  try {
    await post(path);
    notify(said);
  } catch (error) {
    notify(error.message, true);
  } finally {
    busy.delete(path);
  }
  await refresh();
}

/** A button that asks `question` and then posts to `path`. */
export function action(path, question, said, refresh) {
  return async () => {
    if (await confirmed(question)) await wish(path, said, refresh);
  };
}

const QUESTIONS = {
  pause: (name) => ({ title: `Pause ${name}?`, lines: ["Trials that run are finished; no new one starts until you resume."], action: "Pause" }),
  resume: (name) => ({ title: `Resume ${name}?`, lines: ["The search goes on where it stopped."], action: "Resume" }),
  cancel: (name) => ({
    title: `Cancel ${name}?`,
    lines: ["Running trials are stopped and the job ends without a plan. What was measured is kept.", "This cannot be undone."],
    action: "Cancel the job",
    isDanger: true,
  }),
};

export function jobAction(job, verb, refresh) {
  const path = `${at("jobs", job.id)}:${verb}`;
  const question = QUESTIONS[verb](job.spec.name);
  return { path, run: action(path, question, `${capital(verb)} was asked for.`, refresh) };
}
