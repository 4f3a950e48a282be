// Asks the service. Paths are relative to the page, so that it also works below a prefix.

const ROOT = "api/v1/";
const TIMEOUT_MS = 15_000;
const PAGE_SIZE = 1000;

/** The service cannot be reached. */
export class ConnectionLost extends Error {}

/** The service answered with a problem document. */
export class Problem extends Error {
  constructor(status, document) {
    super(document?.detail || document?.title || `The service answered ${status}`);
    this.status = status;
    this.title = document?.title ?? `Status ${status}`;
  }
}

export async function getJson(path, query = {}) {
  return (await ask(path, query)).json();
}

export async function getText(path, query = {}) {
  return (await ask(path, query)).text();
}

/** Every item of a list, page after page. */
export async function getAll(path, query = {}) {
  const items = [];
  let token = "";
  do {
    const page = await getJson(path, { ...query, page_size: PAGE_SIZE, page_token: token });
    items.push(...page.items);
    token = page.next_page_token;
  } while (token);
  return items;
}

export async function post(path) {
  return (await ask(path, {}, { method: "POST" })).json();
}

/** A path whose parts may hold any character. */
export function at(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

async function ask(path, query, options = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const search = new URLSearchParams(given).toString();
  let answer;
  try {
    answer = await fetch(ROOT + path + (search ? `?${search}` : ""), {
      ...options,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new ConnectionLost(String(error));
  }
  if (answer.ok) return answer;
  throw new Problem(answer.status, await answer.json().catch(() => null));
}
