// Who is signed in, and what they are allowed to do.

import { ApiError, fetchJson } from "./api.js";
import { getToken, setToken } from "./token.js";

/** The signed-in principal: {tenant, principal, grants}; null while nobody is signed in. */
export let identity = null;

/** Sign in with a token. Throws ApiError when the server rejects it; the token before it then stays. */
export async function signInWithToken(token) {
  const previous = getToken();
  setToken(token);
  try {
    identity = await fetchJson("GET", "/v1/whoami");
  } catch (error) {
    setToken(previous);
    throw error;
  }
}

/** Exchange the one-time code of a sign-in link for a token, and sign in with it. */
export async function signInWithCode(code) {
  const { token } = await fetchJson("POST", "/v1/sign-in", { body: { code }, anonymous: true });
  await signInWithToken(token);
}

/** Sign in with the token that this tab has; return false when there is none or it is no longer valid. */
export async function restoreSession() {
  if (getToken() === null) return false;
  try {
    await signInWithToken(getToken());
    return true;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    clearSession();
    return false;
  }
}

export function clearSession() {
  setToken(null);
  identity = null;
}

export async function signOut() {
  try {
    await fetchJson("POST", "/v1/sign-out");
  } finally {
    clearSession();
  }
}

/** Whether the principal holds a grant; for the workflow "*", a grant on any workflow is enough. */
export function isAllowed(action, workflow = "*") {
  return (identity?.grants ?? []).some((grant) => {
    const colon = grant.indexOf(":");
    if (grant.slice(0, colon) !== action) return false;
    if (action === "admin" || workflow === "*") return true;
    return ["workflow:*", `workflow:${workflow}`].includes(grant.slice(colon + 1));
  });
}

/** Why the principal may not do something, in the server's words; null when they may. */
export const missingGrant = (action, workflow) =>
  isAllowed(action, workflow) ? null : `Principal lacks ${action} on workflow:${workflow}.`;
