// The REST API: one function for requests, one for streams. Nothing else here talks to the server.

import { parse, print } from "./lossless_json.js";
import { token } from "./token.js";

/** Where the server is mounted: the console's base without "console/". */
const ROOT = new URL(".", new URL("..", `${document.baseURI}x`)).pathname.replace(/\/$/, "");
const REPEAT = 1000;

/** An answer that was no success; has the envelope's code, message, details and request_id. */
export class Refused extends Error {
  constructor(status, error, headers) {
    super(error.message);
    Object.assign(this, { status, code: error.code, details: error.details ?? [], requestId: error.request_id });
    this.retryAfter = Number(headers?.get("Retry-After")) || null;
  }
}

/** The server did not answer at all. */
export class Unreachable extends Error {}

/** Whether an error tells of the server or the way to it, and not of a mistake of ours. */
export const known = (error) => error instanceof Refused || error instanceof Unreachable || error.name === "AbortError";

export const address = (path) => ROOT + path;

/** Return a path with a query; what is null, empty or undefined is left out. */
export function query(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

export const seg = encodeURIComponent;

/** Ask the server; return its JSON. Throws Refused or Unreachable. */
export async function call(method, path, { body, headers = {}, signal, anonymous = false } = {}) {
  const response = await reach(method, path, { body, headers, signal, anonymous });
  if (response.status === 204) return null;
  const text = await response.text();
  return text ? parse(text) : null;
}

export const get = (path, parameters, options) => call("GET", query(path, parameters), options);

async function reach(method, path, { body, headers = {}, signal, anonymous = false, accept = "application/json" }) {
  const sent = { Accept: accept, ...headers };
  if (!anonymous && token()) sent.Authorization = `Bearer ${token()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(ROOT + path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : print(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The server does not answer.");
  }
  if (response.ok) return response;
  const refused = new Refused(response.status, await envelope(response), response.headers);
  if (refused.status === 401 && !anonymous) window.dispatchEvent(new Event("signed-out"));
  throw refused;
}

async function envelope(response) {
  try {
    return (await response.json()).error;
  } catch {
    return { code: "internal", message: `The server answered ${response.status}.` };
  }
}

let current = null;

/**
 * Follow a stream of events; the one before it is closed, so a tab has one at most. It is closed while the
 * tab is hidden and resumed after the last event that came, and reconnects by itself.
 *
 * on: {event(type, data), open(), lost(error), end()}; `after` is a function that gives the last seq, or null.
 */
export function stream(path, on, after = null) {
  current?.close();
  const mine = { closed: false, abort: null, wait: null };
  mine.close = () => {
    mine.closed = true;
    mine.abort?.abort();
    clearTimeout(mine.wait);
    document.removeEventListener("visibilitychange", seen);
    if (current === mine) current = null;
  };
  const seen = () => {
    clearTimeout(mine.wait);
    if (document.hidden) mine.abort?.abort();
    else connect();
  };
  const connect = async () => {
    if (mine.closed || document.hidden || mine.abort) return;
    const abort = new AbortController();
    mine.abort = abort;
    let again = true;
    try {
      again = await read(path, on, after, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) on.lost?.(error);
      again = !(error instanceof Refused) || error.status === 429 || error.status >= 500;
    }
    mine.abort = null;
    if (mine.closed) return;
    if (again) mine.wait = setTimeout(connect, document.hidden ? 0 : REPEAT);
    else {
      mine.close();
      on.end?.();
    }
  };
  document.addEventListener("visibilitychange", seen);
  current = mine;
  connect();
  return mine;
}

export const closeStream = () => current?.close();

/** Read one connection to its end; return whether to connect again. */
async function read(path, on, after, signal) {
  const last = after?.();
  const headers = last ? { "Last-Event-ID": String(last) } : {};
  const response = await reach("GET", path, { headers, signal, accept: "text/event-stream" });
  if (response.status === 204) return false;
  on.open?.();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "",
    ended = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    buffer += value;
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) ended = deliver(block, on) || ended;
  }
  if (!ended) on.lost?.(new Unreachable("The stream ended."));
  return !ended;
}

const TERMINAL = new Set(["completed", "failed", "cancelled"]);

function deliver(block, on) {
  let type = "message",
    data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) type = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data) on.event(type, parse(data));
  return TERMINAL.has(type);
}
