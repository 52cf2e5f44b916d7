// The fields of a form, made from a JSON Schema. What has no field of its own is entered as JSON.
//
// A field is {box, fault, visit(visitor, prefix), isChanged(), read(partial)}:
// - box is its element, fault the element for its error message (absent when it has none).
// - visit() calls visitor(field, pointer) for the field and those within it.
// - isChanged() says whether someone changed what the field showed at first.
// - read() returns the value, or undefined to leave it out. It throws FormError when the value is not valid; with
//   `partial`, values that are not valid are left out.
//
// A spot is the place of a field: {root, references, name, label, required, pointer, isTop, value}.

import { h } from "./dom.js";
import { FormError } from "./form_error.js";
import { toPointer } from "./json_pointer.js";
import { isOpenObject, resolveSchema } from "./json_schema.js";
import { isObject, isSameJson, parseJson, stringifyJson } from "./lossless_json.js";
import { iconButton } from "./widgets.js";

let nextId = 1;

/** Make the field of a whole schema. */
export const rootField = (schema, value) =>
  fieldWithin(schema, { root: schema, references: [] }, { name: "", required: true, pointer: "", isTop: true, value });

/** Show an error at a field. */
export function showError(field, message) {
  field.fault.textContent = message;
  field.box.classList.add("wrong");
}

/** Parse JSON that someone typed. Throws FormError; its message begins with `prefix`. */
export function parseJsonInput(text, prefix = "This is not JSON") {
  try {
    return parseJson(text);
  } catch (error) {
    throw new FormError(`${prefix}: ${error.message}`);
  }
}

/** Make a field inside another one. A type that contains itself is entered as JSON, because its form has no end. */
function fieldWithin(schema, outer, place) {
  const [resolved, references] = resolveSchema(schema, outer.root);
  const spot = { root: outer.root, ...place, references: [...outer.references, ...references] };
  const isRecursive = references.some((reference) => outer.references.includes(reference));
  const field = isRecursive ? jsonField(resolved, spot) : makeField(resolved, spot);
  if (spot.value !== null) return field;
  const { read } = field; // a null stays null until someone changes the field
  return Object.assign(field, { read: (partial) => (field.isChanged() ? read(partial) : null) });
}

function makeField(schema, spot) {
  if (schema.const !== undefined) return constantField(schema, spot);
  if (!canShow(schema, initialValue(schema, spot))) return jsonField(schema, spot);
  if (schema.enum) return choiceField(schema, spot);
  if (schema.anyOf || schema.oneOf || schema.allOf) return jsonField(schema, spot);
  if (schema.type === "object" && (schema.properties || spot.isTop) && !isOpenObject(schema))
    return objectField(schema, spot);
  if (schema.type === "array" && schema.items && !schema.prefixItems) return arrayField(schema, spot);
  if (schema.type === "boolean") return booleanField(schema, spot);
  if (schema.type === "string") return inputField(schema, spot, stringAttributes, (text) => text);
  if (schema.type === "integer" || schema.type === "number")
    return inputField(schema, spot, numberAttributes, parseNumber);
  return jsonField(schema, spot);
}

/** Whether the fields of a schema can show a value. */
const canShow = ({ type }, value) =>
  value === undefined ||
  value === null ||
  (type === "object" ? isObject(value) : type !== "array" || Array.isArray(value));

const optionalMark = (spot) => (spot.required ? null : h("span.muted", " optional"));
const initialValue = (schema, spot) => (spot.value !== undefined ? spot.value : schema.default);
const asText = (value) => (value === undefined || value === null ? "" : String(value));

/** The value of an empty field: undefined leaves it out, null where the schema needs it and allows null. */
function emptyValue(schema, spot, message = "This is required.") {
  if (!spot.required) return undefined;
  if (schema.nullable) return null;
  throw new FormError(message);
}

// --- fields with one control ---------------------------------------------------------------------------------

/** Put a label, help and an error message around a control. */
function controlField(schema, spot, control, readControl) {
  const id = `f${nextId++}`;
  control.id = id;
  const fault = h("p.fault", { id: `${id}-fault`, role: "alert" });
  const help = schema.description && h("p.help", { id: `${id}-help` }, schema.description);
  control.setAttribute("aria-describedby", `${id}-fault${help ? ` ${id}-help` : ""}`);
  if (spot.required) control.setAttribute("aria-required", "true");
  const label = h("label", { for: id }, spot.label ?? schema.title ?? spot.name ?? "Value", optionalMark(spot));
  const initialText = control.value;
  const field = {
    fault,
    box: h("div.field", label, control, help, fault),
    visit: (visitor, prefix = "") => visitor(field, prefix + spot.pointer),
    isChanged: () => control.value !== initialText,
    read(partial) {
      const initial = initialValue(schema, spot);
      if (!field.isChanged() && initial !== undefined && initial !== null) return initial; // exactly as it was given
      try {
        return readControl();
      } catch (error) {
        if (!(error instanceof FormError)) throw error;
        if (partial) return undefined;
        showError(field, error.message);
        throw error;
      }
    },
  };
  return field;
}

function inputField(schema, spot, attributesOf, parse) {
  const value = initialValue(schema, spot);
  const multiline = isMultiline(schema, spot, value);
  const control = h(multiline ? "textarea" : "input", {
    ...(multiline ? { rows: 3 } : attributesOf(schema)),
    value: asText(value),
    placeholder: asText(schema.default ?? schema.examples?.[0]) || null,
  });
  return controlField(schema, spot, control, () => {
    if (control.value !== "") return parse(control.value, schema);
    return schema.minLength === 0 && spot.required ? "" : emptyValue(schema, spot);
  });
}

/** Whether a text has several lines or is likely to; an input of one line would drop its line breaks. */
const isMultiline = ({ type, maxLength = 0, format }, { name }, value) =>
  type === "string" &&
  (maxLength > 200 ||
    format === "textarea" ||
    /note|comment|reason|description|text/i.test(name) ||
    /[\r\n]/.test(asText(value)));

const INPUT_TYPES = { date: "date", email: "email", uri: "url" };
const stringAttributes = (schema) => ({
  type: INPUT_TYPES[schema.format] ?? "text",
  maxlength: schema.maxLength,
  spellcheck: "false",
});

/** A number input would round large numbers. The numeric keyboard of phones has no minus sign. */
const numberAttributes = ({ type, minimum }) => ({
  type: "text",
  inputmode: minimum >= 0 ? (type === "integer" ? "numeric" : "decimal") : null,
  spellcheck: "false",
  autocomplete: "off",
});
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function parseNumber(text, { type }) {
  const trimmed = text.trim();
  if (!NUMBER.test(trimmed)) throw new FormError("A number is expected, such as 12 or -0.5.");
  if (type === "integer" && !Number.isInteger(Number(trimmed))) throw new FormError("A whole number is expected.");
  return parseJson(trimmed);
}

const optionLabel = (value) => (typeof value === "string" ? value : value === null ? "none" : stringifyJson(value));

function choiceField(schema, spot, labelOf = optionLabel) {
  const value = initialValue(schema, spot);
  const options = schema.enum.map((each, index) =>
    h("option", { value: String(index), selected: isSameJson(each, value) }, labelOf(each)),
  );
  const mayBeEmpty = !spot.required || !schema.enum.some((each) => isSameJson(each, value));
  const empty = mayBeEmpty && h("option", { value: "" }, spot.required ? "Choose…" : "–");
  const control = h("select", empty, options);
  return controlField(schema, spot, control, () =>
    control.value === "" ? emptyValue(schema, spot, "Choose one.") : schema.enum[Number(control.value)],
  );
}

/** A checkbox could not tell "no" from "not answered", so a boolean is a choice. */
const booleanField = (schema, spot) =>
  choiceField({ ...schema, enum: [true, false] }, spot, (value) => (value ? "Yes" : "No"));

function jsonField(schema, spot) {
  const value = initialValue(schema, spot);
  const control = h("textarea.mono", {
    rows: 4,
    spellcheck: "false",
    value: value === undefined ? "" : stringifyJson(value, 2),
    placeholder: "JSON",
  });
  return controlField(schema, spot, control, () => {
    if (control.value.trim() !== "") return parseJsonInput(control.value);
    return spot.isTop ? null : emptyValue(schema, spot, "This is required, as JSON.");
  });
}

function constantField(schema, spot) {
  const field = {
    box: h("div.field", h("label", spot.name), h("code", stringifyJson(schema.const))),
    visit: (visitor, prefix = "") => visitor(field, prefix + spot.pointer),
    isChanged: () => false,
    read: () => schema.const,
  };
  return field;
}

// --- fields with fields inside -------------------------------------------------------------------------------

const fieldset = (schema, spot, ...content) =>
  h(
    "fieldset",
    h("legend", schema.title ?? spot.name, optionalMark(spot)),
    schema.description && h("p.help", schema.description),
    content,
  );

/** Read every field, so that each shows its own error; then throw the first error. */
function readAll(items, read) {
  let firstError = null;
  const values = items.map((item) => {
    try {
      return read(item);
    } catch (error) {
      if (!(error instanceof FormError)) throw error;
      firstError ??= error;
      return null;
    }
  });
  if (firstError) throw firstError;
  return values;
}

function objectField(schema, spot) {
  const value = initialValue(schema, spot) ?? {};
  const unnamed = Object.entries(value).filter(([name]) => !Object.hasOwn(schema.properties ?? {}, name));
  const members = memberFields(schema, spot, value);
  const fault = h("p.fault", { role: "alert" });
  const boxes = members.map(([, field]) => field.box);
  const nothing = h("p.help", "There is nothing to fill in.");
  const field = {
    fault,
    box: spot.pointer ? fieldset(schema, spot, boxes, fault) : h("div", boxes.length ? boxes : nothing, fault),
    visit(visitor, prefix = "") {
      visitor(field, prefix + spot.pointer);
      for (const [, member] of members) member.visit(visitor, prefix);
    },
    isChanged: () => members.some(([, member]) => member.isChanged()),
    read(partial) {
      if (!spot.isTop && isAbsent(schema, spot, field)) return schema.nullable && spot.required ? null : undefined;
      const named = readAll(members, ([name, member]) => [name, member.read(partial)]);
      return Object.fromEntries([...unnamed, ...named.filter(([, each]) => each !== undefined)]);
    },
  };
  return field;
}

const memberFields = (schema, spot, value) =>
  Object.entries(schema.properties ?? {}).map(([name, memberSchema]) => {
    const place = {
      name,
      required: (schema.required ?? []).includes(name),
      pointer: spot.pointer + toPointer([name]),
      value: Object.hasOwn(value, name) ? value[name] : undefined,
    };
    return [name, fieldWithin(memberSchema, spot, place)];
  });

/** Whether an object can be left out and is: it had no value, and nobody began to fill it in. */
const isAbsent = (schema, spot, field) =>
  (!spot.required || schema.nullable) && (initialValue(schema, spot) ?? null) === null && !field.isChanged();

function arrayField(schema, spot) {
  const items = [];
  const rows = h("div.items");
  const fault = h("p.fault", { role: "alert" });
  let changed = false;
  const append = (value) => {
    const item = itemField(schema, spot, value);
    const remove = iconButton("close", "Remove", () => {
      changed = true;
      items.splice(items.indexOf(item), 1);
      row.remove();
    });
    const row = h("div.item", item.box, remove);
    items.push(item);
    rows.append(row);
  };
  const appendEmpty = () => {
    changed = true;
    append();
  };
  const add = h("button.quiet", { type: "button", onclick: appendEmpty }, `Add to ${spot.name}`);
  const initial = initialValue(schema, spot);
  for (const value of initial ?? Array(spot.required ? (schema.minItems ?? 0) : 0).fill(undefined)) append(value);
  const field = {
    fault,
    box: fieldset(schema, spot, rows, add, fault),
    visit(visitor, prefix = "") {
      visitor(field, prefix + spot.pointer);
      for (const [index, item] of items.entries()) item.visit(visitor, `${prefix}${spot.pointer}/${index}`);
    },
    isChanged: () => changed || items.some((item) => item.isChanged()),
    read(partial) {
      const values = readAll(items, (item) => item.read(partial)).filter((value) => value !== undefined);
      return values.length || spot.required || Array.isArray(initial) ? values : undefined;
    },
  };
  return field;
}

/** An item appears only when someone adds it, so a recursive type may have a form here. */
const itemField = (schema, spot, value) =>
  fieldWithin(
    schema.items,
    { root: spot.root, references: [] },
    { name: schema.items.title ?? spot.name, label: `${spot.name} item`, required: true, pointer: "", value },
  );
