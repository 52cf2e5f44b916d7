// A form made from a JSON Schema. What it cannot show as fields it takes as JSON.

import { h, put } from "./dom.js";
import { isObject, parse, print, same } from "./lossless_json.js";
import { isOpen, resolve } from "./json_schema.js";
import { iconButton } from "./widgets.js";

let ids = 0;

/** A field that does not hold what it must. */
export class FormFault extends Error {}

/**
 * Make a form's fields: {box, read(partial), complain(details)}.
 *
 * read() throws FormFault where a field does not hold what it must, and shows it there; where it is partial, such
 * fields are left out instead. Every field has `each(visit, prefix)`, which visits it and those within, and
 * `touched()`: whether somebody changed what it showed first.
 */
export function form(schema, value) {
  const root = within(schema, { root: schema, refs: [] }, { name: "", required: true, path: "", top: true, value });
  const general = h("p.fault", { role: "alert" });
  const box = h("div.form", root.box, general);
  const focus = () => box.querySelector(".wrong > :is(input, select, textarea)")?.focus();
  const find = (path) => {
    let best = null;
    root.each((each, at) => {
      if ((path === at || path.startsWith(`${at}/`)) && at.length >= (best?.at.length ?? 0)) best = { at, each };
    });
    return best?.each;
  };
  return {
    box,
    read(partial = false) {
      clear(root, general);
      try {
        return root.read(partial);
      } catch (error) {
        if (error instanceof FormFault) focus();
        throw error;
      }
    },
    /** Show what the server found wrong, each at its field; paths are JSON Pointers into the value. */
    complain(details, message) {
      clear(root, general);
      for (const { path, message: told } of details) {
        const at = find(path);
        if (at?.fault) mark(at, told);
        else general.textContent = told;
      }
      if (!details.length) general.textContent = message;
      focus();
    },
  };
}

function mark(part, told) {
  part.fault.textContent = told;
  part.box.classList.add("wrong");
}

function clear(root, general) {
  general.textContent = "";
  root.each((each) => {
    if (!each.fault) return;
    each.fault.textContent = "";
    each.box.classList.remove("wrong");
  });
}

/** Make a field within another one; a type within itself is asked for as JSON, for its form would have no end. */
function within(schema, outer, more) {
  const [found, refs] = resolve(schema, outer.root);
  const at = { root: outer.root, ...more, refs: [...outer.refs, ...refs] };
  const self = refs.some((each) => outer.refs.includes(each)) ? json(found, at) : field(found, at);
  if (at.value !== null) return self;
  const read = self.read; // what was null stays so until it is touched
  return Object.assign(self, { read: (partial) => (self.touched() ? read(partial) : null) });
}

function field(schema, at) {
  if (schema.const !== undefined) return constant(schema, at);
  if (!fits(schema, given(schema, at))) return json(schema, at);
  if (schema.enum) return chosen(schema, at);
  if (schema.anyOf || schema.oneOf || schema.allOf) return json(schema, at);
  if (schema.type === "object" && (schema.properties || at.top) && !isOpen(schema)) return object(schema, at);
  if (schema.type === "array" && schema.items && !schema.prefixItems) return list(schema, at);
  if (schema.type === "boolean") return yesNo(schema, at);
  if (schema.type === "string") return line(schema, at, words, (text) => text);
  if (schema.type === "integer" || schema.type === "number") return line(schema, at, numeric, number);
  return json(schema, at);
}

/** Whether the fields of a schema can show a value. */
const fits = ({ type }, value) =>
  value === undefined ||
  value === null ||
  (type === "object" ? isObject(value) : type !== "array" || Array.isArray(value));

const optional = (at) => (at.required ? null : h("span.faint", " optional"));
const given = (schema, at) => (at.value !== undefined ? at.value : schema.default);

/** What stands for a field that nobody has filled in: null where that will do, else it is left out. */
function nothing(schema, at, told = "This is needed.") {
  if (!at.required) return undefined;
  if (schema.nullable) return null;
  throw new FormFault(told);
}

/** Put a label, help and the place of a fault around a control. */
function around(schema, at, control, read) {
  const id = `f${++ids}`;
  control.id = id;
  const fault = h("p.fault", { id: `${id}-fault`, role: "alert" });
  const help = schema.description && h("p.help", { id: `${id}-help` }, schema.description);
  control.setAttribute("aria-describedby", `${id}-fault${help ? ` ${id}-help` : ""}`);
  if (at.required) control.setAttribute("aria-required", "true");
  const label = h("label", { for: id }, at.label ?? schema.title ?? at.name ?? "Value", optional(at));
  const first = control.value;
  const self = {
    fault,
    box: h("div.field", label, control, help, fault),
    each: (visit, prefix = "") => visit(self, prefix + at.path),
    touched: () => control.value !== first,
    read(partial) {
      const known = given(schema, at);
      if (!self.touched() && known !== undefined && known !== null) return known; // as it was written
      try {
        return read();
      } catch (error) {
        if (!(error instanceof FormFault)) throw error;
        if (partial) return undefined;
        mark(self, error.message);
        throw error;
      }
    },
  };
  return self;
}

const shown = (value) => (value === undefined || value === null ? "" : String(value));

function line(schema, at, attributes, read) {
  const value = given(schema, at);
  const control = h(isLong(schema, at, value) ? "textarea" : "input", {
    ...(isLong(schema, at, value) ? { rows: 3 } : attributes(schema)),
    value: shown(value),
    placeholder: shown(schema.default ?? schema.examples?.[0]) || null,
  });
  return around(schema, at, control, () => {
    if (control.value !== "") return read(control.value, schema);
    return schema.minLength === 0 && at.required ? "" : nothing(schema, at);
  });
}

/** Whether a text is likely to have several lines, or has; an input of one line would drop their breaks. */
const isLong = ({ type, maxLength = 0, format }, { name }, value) =>
  type === "string" &&
  (maxLength > 200 ||
    format === "textarea" ||
    /note|comment|reason|description|text/i.test(name) ||
    /[\r\n]/.test(shown(value)));

const FORMATS = { date: "date", email: "email", uri: "url" };
const words = (schema) => ({
  type: FORMATS[schema.format] ?? "text",
  maxlength: schema.maxLength,
  spellcheck: "false",
});
/** Inputs of numbers would change those that are no numbers of JavaScript; phones have no minus beside digits. */
const numeric = ({ type, minimum }) => ({
  type: "text",
  inputmode: minimum >= 0 ? (type === "integer" ? "numeric" : "decimal") : null,
  spellcheck: "false",
  autocomplete: "off",
});
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function number(text, { type }) {
  const written = text.trim();
  if (!NUMBER.test(written)) throw new FormFault("A number is expected, such as 12 or -0.5.");
  if (type === "integer" && !Number.isInteger(Number(written))) throw new FormFault("A whole number is expected.");
  return parse(written);
}

const option = (value) => (typeof value === "string" ? value : value === null ? "none" : print(value));

function chosen(schema, at, label = option) {
  const value = given(schema, at);
  const options = schema.enum.map((each, n) =>
    h("option", { value: String(n), selected: same(each, value) }, label(each)),
  );
  const open = !at.required || !schema.enum.some((each) => same(each, value));
  const control = h("select", open && h("option", { value: "" }, at.required ? "Choose…" : "–"), options);
  return around(schema, at, control, () =>
    control.value === "" ? nothing(schema, at, "Choose one.") : schema.enum[Number(control.value)],
  );
}

/** A boolean that nobody has answered is no "false": a needed one is asked for. */
const yesNo = (schema, at) => chosen({ ...schema, enum: [true, false] }, at, (each) => (each ? "Yes" : "No"));

function constant(schema, at) {
  const self = {
    box: h("div.field", h("label", at.name), h("code", print(schema.const))),
    each: (visit, prefix = "") => visit(self, prefix + at.path),
    touched: () => false,
    read: () => schema.const,
  };
  return self;
}

const group = (schema, at, ...inner) =>
  h(
    "fieldset",
    h("legend", schema.title ?? at.name, optional(at)),
    schema.description && h("p.help", schema.description),
    inner,
  );

function object(schema, at) {
  const needed = new Set(schema.required ?? []);
  const value = given(schema, at) ?? {};
  const others = Object.entries(value).filter(([name]) => !Object.hasOwn(schema.properties ?? {}, name));
  const parts = Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const path = `${at.path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const known = Object.hasOwn(value, name) ? value[name] : undefined;
    return [name, within(each, at, { name, required: needed.has(name), path, value: known })];
  });
  const fault = h("p.fault", { role: "alert" });
  const inner = parts.map(([, part]) => part.box);
  const none = h("p.help", "Nothing needs to be filled in.");
  const self = {
    fault,
    box: at.path ? group(schema, at, inner, fault) : h("div", inner.length ? inner : none, fault),
    each: (visit, prefix = "") => {
      visit(self, prefix + at.path);
      for (const [, part] of parts) part.each(visit, prefix);
    },
    touched: () => parts.some(([, part]) => part.touched()),
    read(partial) {
      if (!at.top && isLeftOut(schema, at, self)) return schema.nullable && at.required ? null : undefined;
      const read = all(parts, ([name, part]) => [name, part.read(partial)]);
      return Object.fromEntries([...others, ...read.filter(([, each]) => each !== undefined)]);
    },
  };
  return self;
}

/** Whether an object that need not be there is not there: nobody gave it, and nobody began to fill it in. */
const isLeftOut = (schema, at, self) =>
  (!at.required || schema.nullable) && (given(schema, at) ?? null) === null && !self.touched();

/** Read every part, so that each shows what is wrong with it; throws the first fault. */
function all(parts, read) {
  let first = null;
  const found = parts.map((part) => {
    try {
      return read(part);
    } catch (error) {
      if (!(error instanceof FormFault)) throw error;
      first ??= error;
      return null;
    }
  });
  if (first) throw first;
  return found;
}

function list(schema, at) {
  const items = [];
  let changed = false;
  const rows = h("div.items"),
    fault = h("p.fault", { role: "alert" });
  const name = schema.items.title ?? at.name;
  const add = (value) => {
    const outer = { root: at.root, refs: [] }; // an item is made when it is asked for: that has an end
    const part = within(schema.items, outer, { name, label: `${at.name} item`, required: true, path: "", value });
    const remove = iconButton("close", "Remove", () => {
      changed = true;
      items.splice(items.indexOf(part), 1);
      row.remove();
    });
    const row = h("div.item", part.box, remove);
    items.push(part);
    rows.append(row);
  };
  const more = () => {
    changed = true;
    add();
  };
  const first = given(schema, at) ?? Array(at.required ? (schema.minItems ?? 0) : 0).fill(undefined);
  for (const each of first) add(each);
  const self = {
    fault,
    box: group(schema, at, rows, h("button.quiet", { type: "button", onclick: more }, `Add to ${at.name}`), fault),
    each: (visit, prefix = "") => {
      visit(self, prefix + at.path);
      items.forEach((part, n) => {
        part.each(visit, `${prefix}${at.path}/${n}`);
      });
    },
    touched: () => changed || items.some((part) => part.touched()),
    read(partial) {
      const read = all(items, (part) => part.read(partial)).filter((each) => each !== undefined);
      return read.length || at.required || Array.isArray(given(schema, at)) ? read : undefined;
    },
  };
  return self;
}

/** Read JSON that a person has written. Throws FormFault, whose message begins with `told`. */
export function readJson(text, told = "This is not JSON") {
  try {
    return parse(text);
  } catch (error) {
    throw new FormFault(`${told}: ${error.message}`);
  }
}

function json(schema, at) {
  const value = given(schema, at);
  const control = h("textarea.mono", {
    rows: 4,
    spellcheck: "false",
    value: value === undefined ? "" : print(value, 2),
    placeholder: "JSON",
  });
  return around(schema, at, control, () => {
    if (control.value.trim() !== "") return readJson(control.value);
    return at.top ? null : nothing(schema, at, "This is needed, as JSON.");
  });
}

/** A form with its JSON beside it: what one holds goes over to the other. */
export function formOrJson(schema, value) {
  let fields = form(schema, value),
    asJson = false;
  const text = h("textarea.mono", { rows: 10, spellcheck: "false", "aria-label": "As JSON" });
  const fault = h("p.fault", { role: "alert" });
  const place = h("div", fields.box);
  const written = () => {
    try {
      return readJson(text.value || "null");
    } catch (error) {
      fault.textContent = error.message;
      throw error;
    }
  };
  const turn = h(
    "button.quiet",
    {
      type: "button",
      onclick: () => {
        fault.textContent = "";
        try {
          if (asJson) {
            fields = form(schema, written());
            put(place, fields.box);
          } else {
            text.value = print(fields.read(true) ?? {}, 2);
            put(place, text, fault);
          }
          asJson = !asJson;
          turn.textContent = asJson ? "As a form" : "As JSON";
        } catch (error) {
          if (!(error instanceof FormFault)) throw error;
        }
      },
    },
    "As JSON",
  );
  return {
    box: h("div", h("div.bar", h("div.spring"), turn), place),
    read: () => {
      fault.textContent = "";
      return asJson ? written() : fields.read();
    },
    complain: (details, message) => {
      if (asJson)
        fault.textContent = details.length
          ? details.map((each) => `${each.path}: ${each.message}`).join("\n")
          : message;
      else fields.complain(details, message);
    },
  };
}
