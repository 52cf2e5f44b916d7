// Requests to the REST API. Only this module talks to the server.

import { parseJson, stringifyJson } from "./lossless_json.js";
import { getToken } from "./token.js";
import { withQuery } from "./url.js";

/** The path that the server is mounted at: the console's base without "console/". */
const MOUNT_PATH = new URL(".", new URL("..", `${document.baseURI}x`)).pathname.replace(/\/$/, "");

/** An error response of the server; carries code, message, details and request id of its body. */
export class ApiError extends Error {
  constructor(status, error, headers) {
    super(error.message);
    Object.assign(this, { status, code: error.code, details: error.details ?? [], requestId: error.request_id });
    this.retryAfter = Number(headers?.get("Retry-After")) || null;
  }
}

/** The server did not respond at all. */
export class NetworkError extends Error {}

/** Whether an error comes from the server, the network or an abort, and is not a bug of the console. */
export const isExpected = (error) =>
  error instanceof ApiError || error instanceof NetworkError || error.name === "AbortError";

/** Return the path of an API route on this server. */
export const serverPath = (path) => MOUNT_PATH + path;

/** Send a request; return the JSON of the response, or null when it has none. Throws ApiError or NetworkError. */
export async function fetchJson(method, path, options = {}) {
  const response = await fetchResponse(method, path, options);
  const text = await response.text();
  return text ? parseJson(text) : null;
}

export const getJson = (path, parameters, options) => fetchJson("GET", withQuery(path, parameters), options);

/** Send a request; return the response if it is a success. An `anonymous` request carries no token. */
export async function fetchResponse(
  method,
  path,
  { body, headers = {}, signal, anonymous = false, accept = "application/json" },
) {
  const sent = { Accept: accept, ...headers };
  if (!anonymous && getToken()) sent.Authorization = `Bearer ${getToken()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    const content = body === undefined ? undefined : stringifyJson(body);
    response = await fetch(serverPath(path), { method, headers: sent, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NetworkError("The server does not respond.");
  }
  if (response.ok) return response;
  const error = new ApiError(response.status, await readError(response), response.headers);
  if (error.status === 401 && !anonymous) window.dispatchEvent(new Event("signed-out"));
  throw error;
}

async function readError(response) {
  try {
    return (await response.json()).error;
  } catch {
    return { code: "internal", message: `The server responded with status ${response.status}.` };
  }
}
