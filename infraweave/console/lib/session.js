// Who is signed in, and what they may do.

import { call, Refused } from "./api.js";
import { keepToken, token } from "./token.js";

/** Who the token speaks for: {tenant, principal, grants}; null while nobody is signed in. */
export let who = null;

/** Take a token, if the server does; throws Refused otherwise. */
export async function signIn(text) {
  const before = token();
  keepToken(text);
  try {
    who = await call("GET", "/v1/whoami");
  } catch (error) {
    keepToken(before);
    throw error;
  }
}

/** Exchange the one-time code of the link that the server printed. */
export async function signInWithCode(code) {
  const answer = await call("POST", "/v1/sign-in", { body: { code }, anonymous: true });
  await signIn(answer.token);
}

/** Go on with the token that this tab has; false: there is none, or it is not taken any more. */
export async function resume() {
  if (token() === null) return false;
  try {
    await signIn(token());
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    forget();
    return false;
  }
}

export function forget() {
  keepToken(null);
  who = null;
}

export async function signOut() {
  try {
    await call("POST", "/v1/sign-out");
  } finally {
    forget();
  }
}

/** Tell whether the principal holds a grant; "*" as the workflow asks for any at all. */
export function may(action, workflow = "*") {
  return (who?.grants ?? []).some((grant) => {
    const [held, resource] = split(grant);
    if (held !== action) return false;
    if (action === "admin") return true;
    return resource === "workflow:*" || resource === `workflow:${workflow}` || workflow === "*";
  });
}

/** Say why not, as the server would. */
export const lacks = (action, workflow) => `Principal lacks ${action} on workflow:${workflow}.`;

function split(grant) {
  const colon = grant.indexOf(":");
  return [grant.slice(0, colon), grant.slice(colon + 1)];
}
