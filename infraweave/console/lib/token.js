// The access token of this browser tab. It is kept in the tab's session storage and nowhere else.

const STORAGE_KEY = "infraweave.token";

/** Return the token of this tab, or null. */
export const getToken = () => sessionStorage.getItem(STORAGE_KEY);

/** Store the token of this tab; null removes it. */
export function setToken(token) {
  if (token === null) sessionStorage.removeItem(STORAGE_KEY);
  else sessionStorage.setItem(STORAGE_KEY, token);
}
