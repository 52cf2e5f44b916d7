// "Copy as": the request that a button sends, as a shell command or a Python program.

import { serverPath } from "./api.js";
import { h } from "./dom.js";
import { ExactNumber, stringifyJson } from "./lossless_json.js";
import { copyToClipboard } from "./notices.js";

const shellQuote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A request as a curl command; the token comes from the environment. */
export function curlCommand({ method, path, body }) {
  const parts = [
    `curl -sS -X ${method} ${shellQuote(location.origin + serverPath(path))}`,
    '-H "Authorization: Bearer $INFRAWEAVE_TOKEN"',
  ];
  if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${shellQuote(stringifyJson(body))}`);
  return parts.join(" \\\n  ");
}

/** A request as a program that uses the Python client; `python` is the expression that sends it. */
export function pythonProgram({ python }) {
  const url = location.origin + serverPath("");
  return [
    "import asyncio",
    "import os",
    "",
    "from infraweave.client import Client",
    "",
    "",
    "async def main():",
    `    async with Client(${pythonLiteral(url)}, os.environ["INFRAWEAVE_TOKEN"]) as client:`,
    `        print(${python})`,
    "",
    "",
    "asyncio.run(main())",
    "",
  ].join("\n");
}

/** A JSON value as a Python literal. */
export function pythonLiteral(value) {
  if (value === null || value === undefined) return "None";
  if (value instanceof ExactNumber) return value.text;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonLiteral(item)}`);
  return `{${items.join(", ")}}`;
}

/** The expression that gets the client's handle of a run. */
export const runHandle = (runId) => `client.run(${pythonLiteral(runId)})`;

/** The copy buttons; `makeRequest` returns {method, path, body, python}, or null while the form is not valid. */
export function copyAsButtons(makeRequest) {
  const copyAs = (label, format, what) => {
    const onclick = () => {
      const request = makeRequest();
      if (request) copyToClipboard(format(request), what);
    };
    return h("button.quiet", { type: "button", onclick }, label);
  };
  return h(
    "div.copy-as",
    h("span.muted", "Copy as"),
    copyAs("curl", curlCommand, "curl command"),
    copyAs("Python", pythonProgram, "Python program"),
  );
}
