// The one event stream of a tab (Server-Sent Events). It reconnects by itself and is closed while the tab is hidden.

import { ApiError, fetchResponse, NetworkError } from "./api.js";
import { parseJson } from "./lossless_json.js";

const RECONNECT_DELAY_MS = 1000;
/** Events after which a run's stream has ended. */
const FINAL_EVENTS = new Set(["completed", "failed", "cancelled"]);

let current = null;

/**
 * Follow a stream of events. The stream before it is closed, so a tab has at most one.
 *
 * handlers: {event(type, data), open(), lost(error), end()}; `lastSeq` is a function that returns the sequence number
 * of the last event that arrived, or null. After a reconnect the stream resumes from there.
 */
export function openEventStream(path, handlers, lastSeq = () => null) {
  closeEventStream();
  current = new EventStream(path, handlers, lastSeq);
  current.connect();
}

export function closeEventStream() {
  current?.close();
  current = null;
}

class EventStream {
  #closed = false;
  #connection = null;
  #timer = null;

  constructor(path, handlers, lastSeq) {
    Object.assign(this, { path, handlers, lastSeq });
    document.addEventListener("visibilitychange", this.#onVisibilityChange);
  }

  close() {
    this.#closed = true;
    this.#connection?.abort();
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#onVisibilityChange);
  }

  #onVisibilityChange = () => {
    clearTimeout(this.#timer);
    if (document.hidden) this.#connection?.abort();
    else this.connect();
  };

  async connect() {
    if (this.#closed || document.hidden || this.#connection) return;
    const connection = new AbortController();
    this.#connection = connection;
    const goesOn = await this.#readConnection(connection.signal);
    this.#connection = null;
    if (this.#closed) return;
    if (goesOn) this.#timer = setTimeout(() => this.connect(), document.hidden ? 0 : RECONNECT_DELAY_MS);
    else {
      this.close();
      this.handlers.end?.();
    }
  }

  /** Read one connection to its end; return whether to connect again. */
  async #readConnection(signal) {
    try {
      return await this.#read(signal);
    } catch (error) {
      if (!signal.aborted) this.handlers.lost?.(error);
      return !(error instanceof ApiError) || error.status === 429 || error.status >= 500;
    }
  }

  async #read(signal) {
    const last = this.lastSeq();
    const headers = last ? { "Last-Event-ID": String(last) } : {};
    const response = await fetchResponse("GET", this.path, { headers, signal, accept: "text/event-stream" });
    if (response.status === 204) return false;
    this.handlers.open?.();
    let ended = false;
    for await (const { type, data } of parseEvents(response.body)) {
      this.handlers.event(type, data);
      ended ||= FINAL_EVENTS.has(type);
    }
    if (!ended) this.handlers.lost?.(new NetworkError("The stream ended."));
    return !ended;
  }
}

/** Yield the events of a response body; blocks without data (comments, heartbeats) are skipped. */
async function* parseEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (buffer + value).split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event.data) yield { type: event.type, data: parseJson(event.data) };
    }
  }
}

function parseEvent(block) {
  const event = { type: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.type = line.slice(7);
    else if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}
