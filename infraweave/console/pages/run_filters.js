// The filters of the list of runs. They are part of the page's address, so that it can be shared.

import { h, reconcile, setContent } from "../lib/dom.js";
import { formatCompact, shortId } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { navigate } from "../lib/router.js";
import { dropdown } from "../lib/widgets.js";
import { RUN_STATES } from "../run/states.js";

const TRIGGERS = ["api", "console", "cli", "schedule", "webhook", "subworkflow"];
const NAMES = [
  "status",
  "workflow_id",
  "workflow_version",
  "trigger",
  "tag",
  "started_after",
  "started_before",
  "parent_run_id",
];
/** Filters that are shown only below "More filters". */
const MORE = ["parent_run_id", "started_after", "started_before", "workflow_version"];

/** Read the filters from the query of an address; a filter that is not set is "". */
export const readFilters = (parameters) => Object.fromEntries(NAMES.map((name) => [name, parameters.get(name) ?? ""]));

export const hasFilters = (filters) => NAMES.some((name) => filters[name]);

/** Whether a run passes the filters, as the server would decide. */
export function matchesFilters(run, filters) {
  const equals = (name) => !filters[name] || run[name] === filters[name];
  const startedAt = run.started_at ? Date.parse(run.started_at) : null;
  return (
    (!filters.status || filters.status.split(",").includes(run.state)) &&
    ["workflow_id", "workflow_version", "trigger"].every(equals) &&
    (!filters.parent_run_id || (run.parent_run_id ?? "none") === filters.parent_run_id) &&
    (!filters.tag || hasTag(run, filters.tag)) &&
    (!filters.started_after || (startedAt && startedAt > Date.parse(filters.started_after))) &&
    (!filters.started_before || (startedAt && startedAt < Date.parse(filters.started_before)))
  );
}

function hasTag({ tags }, tag) {
  const colon = tag.indexOf(":");
  return tags[tag.slice(0, colon)] === tag.slice(colon + 1);
}

/**
 * Make the bar of filters: {box, search, showCounts(counts)}.
 *
 * getFilters() returns the current filters; onChange(changes) is called when someone changes some.
 */
export function createFilterBar(getFilters, onChange) {
  const filters = getFilters();
  const states = h("div.chips", { role: "group", "aria-label": "States" });
  const search = h("input", {
    type: "search",
    placeholder: "Workflow, run, key:value",
    "aria-label": "Search runs",
    title: "Press / to search",
    value: filters.tag || filters.workflow_id,
    onchange: (event) => onSearch(event.target.value.trim(), onChange),
  });
  const toggleState = (state) => {
    const selected = selectedStates(getFilters());
    if (!selected.delete(state)) selected.add(state);
    onChange({ status: RUN_STATES.filter((each) => selected.has(each)).join(",") });
  };
  const trigger = choice("trigger", "Trigger", withAny("Any trigger", TRIGGERS), filters, onChange);
  return {
    box: h("div.filters", states, h("div.spacer"), search, trigger, moreFilters(filters, onChange)),
    search,
    /** Show how many runs there are in each state. */
    showCounts(counts) {
      const selected = selectedStates(getFilters());
      reconcile(
        states,
        RUN_STATES,
        (state) => state,
        (state) => h(`button.state.is-${state}`, { type: "button", onclick: () => toggleState(state) }),
        (button, state) => {
          button.setAttribute("aria-pressed", String(selected.has(state)));
          setContent(button, icon(state), state, h("b", formatCompact(counts[state])));
        },
      );
    },
  };
}

const selectedStates = ({ status }) => new Set(status ? status.split(",") : []);

/** A search for a run id opens the run, for "key:value" finds a tag, and for other texts a workflow. */
function onSearch(text, onChange) {
  if (/^run_\w+$/.test(text)) navigate(`runs/${text}`);
  else if (text.includes(":")) onChange({ tag: text, workflow_id: "" });
  else onChange({ workflow_id: text, tag: "" });
}

const withAny = (label, values) => [["", label], ...values.map((value) => [value, value])];

function choice(name, label, options, filters, onChange) {
  const onchange = (event) => onChange({ [name]: event.target.value });
  const select = dropdown({ "aria-label": label, onchange }, options, filters[name]);
  return h("label", h("span.visually-hidden", label), select);
}

function moreFilters(filters, onChange) {
  const { parent_run_id: parent } = filters;
  const children = [
    ["", "All runs"],
    ["none", "Top-level only"],
    ...(parent.startsWith("run_") ? [[parent, `Children of ${shortId(parent)}`]] : []),
  ];
  const setVersion = (event) => onChange({ workflow_version: event.target.value.trim() });
  return h(
    "details.more",
    { open: MORE.some((name) => filters[name]) },
    h("summary", "More filters"),
    h(
      "div",
      choice("parent_run_id", "Children", children, filters, onChange),
      timeFilter("started_after", "Started after", filters, onChange),
      timeFilter("started_before", "Started before", filters, onChange),
      h("label", "Version ", h("input", { type: "text", value: filters.workflow_version, onchange: setVersion })),
    ),
  );
}

function timeFilter(name, label, filters, onChange) {
  const onchange = (event) =>
    onChange({ [name]: event.target.value ? new Date(event.target.value).toISOString() : "" });
  return h("label", `${label} `, h("input", { type: "datetime-local", value: toLocalInput(filters[name]), onchange }));
}

/** A time as an input of local time has it: without zone and seconds. */
function toLocalInput(time) {
  if (!time) return "";
  const offset = new Date().getTimezoneOffset() * 60_000;
  return new Date(Date.parse(time) - offset).toISOString().slice(0, 16);
}
