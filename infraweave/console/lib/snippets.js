// "Copy as": the request that a button stands for, for a shell or a program.

import { address } from "./api.js";
import { h } from "./dom.js";
import { ExactNumber, print } from "./lossless_json.js";
import { copy } from "./widgets.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A request as a curl command; the token comes from the environment. */
export function curl({ method, path, body }) {
  const parts = [
    `curl -sS -X ${method} ${quoted(location.origin + address(path))}`,
    '-H "Authorization: Bearer $INFRAWEAVE_TOKEN"',
  ];
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(print(body))}`);
  return parts.join(" \\\n  ");
}

/** A request as a program that uses the Python client; `call` is the line that makes it. */
export function python({ python: call }) {
  const url = location.origin + address("");
  return [
    "import asyncio",
    "import os",
    "",
    "from infraweave.client import Client",
    "",
    "",
    "async def main():",
    `    async with Client(${py(url)}, os.environ["INFRAWEAVE_TOKEN"]) as client:`,
    `        print(${call})`,
    "",
    "",
    "asyncio.run(main())",
    "",
  ].join("\n");
}

/** A JSON value as Python writes it. */
export function py(value) {
  if (value === null || value === undefined) return "None";
  if (value instanceof ExactNumber) return value.text;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(py).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, each]) => `${JSON.stringify(key)}: ${py(each)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

/** The two buttons; `request` is a function, asked when one is pressed. */
export const copyAs = (request) =>
  h(
    "div.copy-as",
    h("span.faint", "Copy as"),
    h(
      "button.quiet",
      { type: "button", onclick: () => withRequest(request, (made) => copy(curl(made), "curl command")) },
      "curl",
    ),
    h(
      "button.quiet",
      { type: "button", onclick: () => withRequest(request, (made) => copy(python(made), "Python program")) },
      "Python",
    ),
  );

function withRequest(request, use) {
  const made = request();
  if (made) use(made);
}
