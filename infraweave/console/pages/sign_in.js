// Sign-in with a token.

import { h } from "../lib/dom.js";
import { setPage } from "../lib/notices.js";
import { signInWithToken } from "../lib/session.js";

/** Ask for a token; onSignedIn() is called once the server accepts it. */
export function showSignIn(onSignedIn) {
  const fault = h("p.fault", { role: "alert" });
  const input = h("input", {
    type: "password",
    id: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    placeholder: "iw_live_…",
    "aria-describedby": "token-help",
  });
  const submit = async (event) => {
    event.preventDefault();
    fault.textContent = "";
    try {
      await signInWithToken(input.value.trim());
      onSignedIn();
    } catch (error) {
      fault.textContent =
        error.status === 401
          ? "The server does not accept this token. Check that it is complete and neither revoked nor expired."
          : error.message;
      input.select();
    }
  };
  const help = h(
    "p.help",
    { id: "token-help" },
    "Or open the link that ",
    h("code", "infraweave serve"),
    " printed, which signs in once. The token of a new database is in ",
    h("code", "<database>.token"),
    ". It stays in this tab and never becomes part of an address.",
  );
  const form = h(
    "form",
    { onsubmit: submit },
    h("img", { src: "static/icon.svg", alt: "", width: 40, height: 40 }),
    h("h1", "InfraWeave"),
    h("label", { for: "token" }, "Token"),
    input,
    fault,
    h("button.primary", { type: "submit" }, "Sign in"),
    help,
  );
  document.title = "Sign in · InfraWeave";
  setPage(h("main.signin", form));
  input.focus();
}
