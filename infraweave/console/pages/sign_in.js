// Sign-in with a token.

import { h, put } from "../lib/dom.js";
import { signIn } from "../lib/session.js";

/** Ask for a token; call `entered` once the server takes it. */
export function signInPage(entered) {
  const said = h("p.fault", { role: "alert" });
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
    said.textContent = "";
    try {
      await signIn(input.value.trim());
      entered();
    } catch (error) {
      said.textContent =
        error.status === 401
          ? "The server does not take this token: check that it is whole, and neither revoked nor expired."
          : error.message;
      input.select();
    }
  };
  document.title = "Sign in · InfraWeave";
  put(
    document.body,
    h(
      "main.signin",
      h(
        "form",
        { onsubmit: submit },
        h("img", { src: "static/icon.svg", alt: "", width: 40, height: 40 }),
        h("h1", "InfraWeave"),
        h("label", { for: "token" }, "Token"),
        input,
        said,
        h("button.primary", { type: "submit" }, "Sign in"),
        h(
          "p.help",
          { id: "token-help" },
          "Or open the link that ",
          h("code", "infraweave serve"),
          " printed; it signs in once. A new database's token is in ",
          h("code", "<database>.token"),
          ". It stays in this tab and is never part of an address.",
        ),
      ),
    ),
    document.querySelector(".notices"),
  );
  input.focus();
}
