// The token that requests carry. It lives in this tab's session storage and nowhere else.

const KEY = "infraweave.token";

/** The token of this tab, or null. */
export const token = () => sessionStorage.getItem(KEY);

/** Keep a token for this tab; null forgets it. */
export function keepToken(text) {
  if (text === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, text);
}
