// A form made from a JSON Schema, and the same value as JSON beside it.

import { h, setContent } from "./dom.js";
import { FormError } from "./form_error.js";
import { parseJsonInput, rootField, showError } from "./form_fields.js";
import { stringifyJson } from "./lossless_json.js";

/** How the errors of a request read, one a line; a response without details has only its message. */
export const errorLines = (details, message) =>
  details.length ? details.map(({ path, message: text }) => `${path}: ${text}`).join("\n") : message;

/**
 * Make a form: {box, read(partial), showErrors(details, message)}.
 *
 * read() throws FormError when a field is not valid, and shows the error there; with `partial`, such fields are left
 * out. showErrors() shows the errors that the server found, each at its field.
 */
export function schemaForm(schema, value) {
  const root = rootField(schema, value);
  const general = h("p.fault", { role: "alert" });
  const box = h("div.form", root.box, general);
  const focusFirstError = () => box.querySelector(".wrong > :is(input, select, textarea)")?.focus();
  return {
    box,
    read(partial = false) {
      clearErrors(root, general);
      try {
        return root.read(partial);
      } catch (error) {
        if (error instanceof FormError) focusFirstError();
        throw error;
      }
    },
    showErrors(details, message) {
      clearErrors(root, general);
      for (const detail of details) {
        const field = findField(root, detail.path);
        if (field?.fault) showError(field, detail.message);
        else general.textContent = detail.message;
      }
      if (!details.length) general.textContent = message;
      focusFirstError();
    },
  };
}

/** The innermost field that holds the value at a JSON Pointer. */
function findField(root, pointer) {
  let found = null;
  root.visit((field, at) => {
    const contains = pointer === at || pointer.startsWith(`${at}/`);
    if (contains && at.length >= (found?.at.length ?? 0)) found = { at, field };
  });
  return found?.field;
}

function clearErrors(root, general) {
  general.textContent = "";
  root.visit((field) => {
    if (!field.fault) return;
    field.fault.textContent = "";
    field.box.classList.remove("wrong");
  });
}

/** Make a form that can be switched to JSON and back; it has the same functions as `schemaForm`. */
export function schemaFormWithJson(schema, value) {
  let form = schemaForm(schema, value);
  let isJson = false;
  const text = h("textarea.mono", { rows: 10, spellcheck: "false", "aria-label": "As JSON" });
  const fault = h("p.fault", { role: "alert" });
  const body = h("div", form.box);
  const readText = () => {
    fault.textContent = "";
    try {
      return parseJsonInput(text.value || "null");
    } catch (error) {
      fault.textContent = error.message;
      throw error;
    }
  };
  const showForm = () => {
    form = schemaForm(schema, readText());
    setContent(body, form.box);
  };
  const showText = () => {
    fault.textContent = "";
    text.value = stringifyJson(form.read(true) ?? {}, 2);
    setContent(body, text, fault);
  };
  const switchView = () => {
    try {
      if (isJson) showForm();
      else showText();
      isJson = !isJson;
      toggle.textContent = isJson ? "As a form" : "As JSON";
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
    }
  };
  const toggle = h("button.quiet", { type: "button", onclick: switchView }, "As JSON");
  return {
    box: h("div", h("div.bar", h("div.spacer"), toggle), body),
    read: () => (isJson ? readText() : form.read()),
    showErrors(details, message) {
      if (isJson) fault.textContent = errorLines(details, message);
      else form.showErrors(details, message);
    },
  };
}
