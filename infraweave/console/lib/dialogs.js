// Dialogs. One that sends a request first says what will happen, and offers the request to be copied.

import { fetchJson } from "./api.js";
import { h, setContent } from "./dom.js";
import { FormError } from "./form_error.js";
import { reportError } from "./notices.js";
import { copyAsButtons } from "./snippets.js";
import { button, iconButton } from "./widgets.js";

/** What tells the server that a run was started from the console. */
const HEADERS = { "X-Infraweave-Trigger": "console" };

/** Open a dialog, which is removed when it is closed. `build(close)` returns its content. */
export function openDialog(title, build, { wide = false } = {}) {
  const close = () => box.close();
  const box = h(`dialog${wide ? ".wide" : ""}`, { "aria-label": title, onclose: () => box.remove() });
  setContent(box, h("header", h("h2", title), iconButton("close", "Close", close)), build(close));
  document.body.append(box);
  box.showModal();
}

/**
 * Open a dialog that sends one request.
 *
 * text: paragraphs that say what will happen; fields: its form; label: of the submit button; makeRequest(): returns
 * {method, path, body, python}, or throws FormError while the form is not valid; onDone(response), onError(error);
 * confirmation: a text field whose value must be the word in its `data-word` before the request can be sent.
 */
export function openRequestDialog(title, options) {
  openDialog(title, (close) => requestForm(close, options), { wide: options.wide });
}

function requestForm(
  close,
  {
    text = [],
    fields = null,
    label,
    kind = "primary",
    closeLabel = "Keep as it is",
    makeRequest,
    onDone,
    onError = reportError,
    confirmation = null,
  },
) {
  const submit = h(`button.${kind}`, { type: "submit", disabled: confirmation !== null }, label);
  confirmation?.addEventListener("input", () => {
    submit.disabled = confirmation.value.trim() !== confirmation.dataset.word;
  });
  const validRequest = () => valid(makeRequest);
  const send = async (event) => {
    event.preventDefault();
    const request = validRequest();
    if (!request || submit.disabled) return;
    submit.disabled = true;
    try {
      const response = await fetchJson(request.method, request.path, { body: request.body, headers: HEADERS });
      close();
      onDone(response);
    } catch (error) {
      onError(error);
    } finally {
      submit.disabled = false;
    }
  };
  return h(
    "form",
    { novalidate: true, onsubmit: send },
    text.map((paragraph) => h("p", paragraph)),
    fields,
    h("footer", copyAsButtons(validRequest), h("div.spacer"), button(closeLabel, close), submit),
  );
}

/** Return what a function returns, or null when it throws FormError. */
export function valid(makeRequest) {
  try {
    return makeRequest();
  } catch (error) {
    if (!(error instanceof FormError)) throw error;
    return null;
  }
}
