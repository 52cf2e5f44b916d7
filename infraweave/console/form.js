// A form made from a JSON Schema. What it cannot show as fields it takes as JSON.

import { h, put } from "./dom.js";
import { iconButton } from "./widgets.js";

let ids = 0;

/** Make a form's fields: {box, read(), complain(details)}. read() throws FormFault where a field does not parse. */
export function form(schema, value) {
  const root = field(resolve(schema, schema), { root: schema, name: "", required: true, path: "", value });
  const general = h("p.fault", { role: "alert" });
  const find = (path) => {
    let best = null;
    root.each((each, at) => {
      if ((path === at || path.startsWith(`${at}/`)) && at.length >= (best?.at.length ?? 0)) best = { at, each };
    });
    return best?.each;
  };
  return {
    box: h("div.form", root.box, general),
    read() {
      clear(root, general);
      return root.read();
    },
    /** Show what the server found wrong, each at its field; paths are JSON Pointers into the value. */
    complain(details, message) {
      clear(root, general);
      let first = null;
      for (const { path, message: told } of details) {
        const at = find(path);
        if (at?.fault) {
          at.fault.textContent = told;
          at.box.classList.add("wrong");
          first ??= at;
        } else general.textContent = told;
      }
      if (!details.length) general.textContent = message;
      (first?.box.querySelector("input,select,textarea") ?? general).focus?.();
    },
  };
}

/** A field that does not hold what it must. */
export class FormFault extends Error {}

function clear(root, general) {
  general.textContent = "";
  root.each((each) => {
    if (each.fault) {
      each.fault.textContent = "";
      each.box.classList.remove("wrong");
    }
  });
}

/** Follow $refs within the schema, and take a nullable union for what it is beside null. */
function resolve(schema, root, depth = 0) {
  if (schema === true || schema === undefined) return {};
  if (schema.$ref?.startsWith("#") && depth < 20) {
    const found = schema.$ref
      .slice(1)
      .split("/")
      .filter(Boolean)
      .reduce((at, part) => at?.[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")], root);
    const { $ref, ...rest } = schema;
    return resolve({ ...(found ?? {}), ...rest }, root, depth + 1);
  }
  const either = schema.anyOf ?? schema.oneOf;
  const real = either?.filter((each) => each.type !== "null");
  if (either && real.length === 1) {
    const { anyOf, oneOf, ...rest } = schema;
    return { ...resolve(real[0], root, depth + 1), ...rest, nullable: real.length < either.length };
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((each) => each !== "null");
    if (types.length === 1) return { ...schema, type: types[0], nullable: schema.type.includes("null") };
  }
  return schema;
}

function field(schema, at) {
  if (schema.const !== undefined) return constant(schema, at);
  if (schema.enum) return chosen(schema, at);
  if (schema.anyOf || schema.oneOf || schema.allOf) return json(schema, at);
  if (schema.type === "object" && (schema.properties || at.path === "") && !hasOpenProperties(schema))
    return object(schema, at);
  if (schema.type === "array" && schema.items && !schema.prefixItems) return list(schema, at);
  if (schema.type === "boolean") return yesNo(schema, at);
  if (schema.type === "string") return line(schema, at, words, (text) => text);
  if (schema.type === "integer" || schema.type === "number") return line(schema, at, numeric, number);
  return json(schema, at);
}

const hasOpenProperties = (schema) =>
  !Object.keys(schema.properties ?? {}).length && (schema.additionalProperties || schema.patternProperties);

/** Put a label, help and the place of a fault around a control. */
function around(schema, at, control, read) {
  const id = `f${++ids}`;
  control.id = id;
  const fault = h("p.fault", { id: `${id}-fault`, role: "alert" });
  const help = schema.description && h("p.help", { id: `${id}-help` }, schema.description);
  control.setAttribute("aria-describedby", `${id}-fault${help ? ` ${id}-help` : ""}`);
  if (at.required) control.setAttribute("aria-required", "true");
  const label = h(
    "label",
    { for: id },
    at.label ?? schema.title ?? at.name ?? "Value",
    at.required ? null : h("span.faint", " optional"),
  );
  const self = {
    fault,
    box: h("div.field", label, control, help, fault),
    each: (visit, prefix = "") => visit(self, prefix + at.path),
    read: () => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof FormFault)) throw error;
        fault.textContent = error.message;
        self.box.classList.add("wrong");
        control.focus();
        throw error;
      }
    },
  };
  return self;
}

const given = (schema, at) => (at.value !== undefined ? at.value : schema.default);

function line(schema, at, attributes, parse) {
  const value = given(schema, at);
  const long =
    schema.type === "string" &&
    ((schema.maxLength ?? 0) > 200 ||
      schema.format === "textarea" ||
      /note|comment|reason|description|text/i.test(at.name));
  const control = h(long ? "textarea" : "input", {
    ...(long ? { rows: 3 } : attributes(schema)),
    value: value === undefined || value === null ? "" : String(value),
    placeholder: schema.examples?.[0] === undefined ? null : String(schema.examples[0]),
  });
  return around(schema, at, control, () => {
    if (control.value === "" && (!at.required || schema.type !== "string")) {
      if (control.validity?.badInput) throw new FormFault("A number is expected.");
      if (at.required && !schema.nullable) throw new FormFault("This is needed.");
      return schema.nullable && at.required ? null : undefined;
    }
    return parse(control.value, schema);
  });
}

const FORMATS = { date: "date", email: "email", uri: "url", time: "time" };
const words = (schema) => ({
  type: FORMATS[schema.format] ?? "text",
  maxlength: schema.maxLength,
  spellcheck: "false",
});
const numeric = (schema) => ({
  type: "number",
  step: schema.multipleOf ?? (schema.type === "integer" ? 1 : "any"),
  min: schema.minimum,
  max: schema.maximum,
});

function number(text, schema) {
  const value = Number(text);
  if (Number.isNaN(value)) throw new FormFault("A number is expected.");
  if (schema.type === "integer" && !Number.isSafeInteger(value)) throw new FormFault("A whole number is expected.");
  return value;
}

function chosen(schema, at) {
  const value = given(schema, at);
  const options = schema.enum.map((each, n) =>
    h("option", { value: String(n), selected: each === value }, each === null ? "none" : String(each)),
  );
  const control = h(
    "select",
    (!at.required || value === undefined) && h("option", { value: "" }, at.required ? "Choose…" : "–"),
    options,
  );
  return around(schema, at, control, () => {
    if (control.value === "") {
      if (at.required) throw new FormFault("Choose one.");
      return undefined;
    }
    return schema.enum[Number(control.value)];
  });
}

/** A boolean that nobody has answered is no "false": a needed one is asked for. */
function yesNo(schema, at) {
  const self = chosen({ ...schema, enum: [true, false] }, at);
  for (const option of self.box.querySelectorAll("option"))
    option.textContent = { true: "Yes", false: "No" }[option.textContent] ?? option.textContent;
  return self;
}

function constant(schema, at) {
  const self = {
    box: h("div.field", h("label", at.name), h("code", JSON.stringify(schema.const))),
    each: (visit, prefix = "") => visit(self, prefix + at.path),
    read: () => schema.const,
  };
  return self;
}

function object(schema, at) {
  const needed = new Set(schema.required ?? []);
  const value = given(schema, at) ?? {};
  const parts = Object.entries(schema.properties ?? {}).map(([name, each]) => [
    name,
    field(resolve(each, at.root), {
      root: at.root,
      name,
      required: needed.has(name),
      path: `${at.path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`,
      value: value[name],
    }),
  ]);
  const fault = h("p.fault", { role: "alert" });
  const inner = parts.map(([, part]) => part.box);
  const box = at.path
    ? h(
        "fieldset",
        h("legend", schema.title ?? at.name, at.required ? null : h("span.faint", " optional")),
        schema.description && h("p.help", schema.description),
        inner,
        fault,
      )
    : h("div", inner.length ? inner : h("p.help", "Nothing needs to be filled in."), fault);
  const self = {
    fault,
    box,
    each: (visit, prefix = "") => {
      visit(self, prefix + at.path);
      for (const [, part] of parts) part.each(visit, prefix);
    },
    read() {
      const result = {};
      for (const [name, part] of parts) {
        const read = part.read();
        if (read !== undefined) result[name] = read;
      }
      return at.required || Object.keys(result).length ? result : undefined;
    },
  };
  return self;
}

function list(schema, at) {
  const items = [];
  const rows = h("div.items"),
    fault = h("p.fault", { role: "alert" });
  const add = (value) => {
    const part = field(resolve(schema.items, at.root), {
      root: at.root,
      name: schema.items.title ?? at.name,
      label: `${at.name} item`,
      required: true,
      path: "",
      value,
    });
    const row = h(
      "div.item",
      part.box,
      iconButton("close", "Remove", () => {
        items.splice(items.indexOf(entry), 1);
        row.remove();
      }),
    );
    const entry = { part, row };
    items.push(entry);
    rows.append(row);
  };
  for (const each of given(schema, at) ?? Array(schema.minItems ?? 0).fill(undefined)) add(each);
  const box = h(
    "fieldset",
    h("legend", schema.title ?? at.name, at.required ? null : h("span.faint", " optional")),
    schema.description && h("p.help", schema.description),
    rows,
    h("button.quiet", { type: "button", onclick: () => add() }, `Add to ${at.name}`),
    fault,
  );
  const self = {
    fault,
    box,
    each: (visit, prefix = "") => {
      visit(self, prefix + at.path);
      items.forEach(({ part }, n) => {
        part.each(visit, `${prefix}${at.path}/${n}`);
      });
    },
    read() {
      const result = items.map(({ part }) => part.read());
      return result.length || at.required || schema.default !== undefined ? result : undefined;
    },
  };
  return self;
}

function json(schema, at) {
  const value = given(schema, at);
  const control = h("textarea.mono", {
    rows: 4,
    spellcheck: "false",
    value: value === undefined ? "" : JSON.stringify(value, null, 2),
    placeholder: "JSON",
  });
  return around(schema, at, control, () => {
    if (control.value.trim() === "") {
      if (at.required && at.path) throw new FormFault("This is needed, as JSON.");
      return at.path ? undefined : null;
    }
    try {
      return JSON.parse(control.value);
    } catch (error) {
      throw new FormFault(`This is not JSON: ${error.message}`);
    }
  });
}

/** A form with its JSON beside it: what one holds goes over to the other. */
export function formOrJson(schema, value) {
  let fields = form(schema, value),
    asJson = false;
  const text = h("textarea.mono", { rows: 10, spellcheck: "false", "aria-label": "As JSON" });
  const fault = h("p.fault", { role: "alert" });
  const place = h("div", fields.box);
  const parse = () => {
    try {
      return JSON.parse(text.value || "null");
    } catch (error) {
      fault.textContent = `This is not JSON: ${error.message}`;
      throw new FormFault(fault.textContent);
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
            fields = form(schema, parse());
            put(place, fields.box);
          } else {
            let now = value;
            try {
              now = fields.read();
            } catch {
              /* what does not parse yet stays behind */
            }
            text.value = JSON.stringify(now ?? {}, null, 2);
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
      return asJson ? parse() : fields.read();
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
