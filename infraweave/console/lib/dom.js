// Building the page. Everything shown goes in as text or as a node, never as markup, so data stays data.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("div.row", {onclick, "aria-label": "…"}, child, [children], "text", null). */
export function h(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  return fill(document.createElement(tag || "div"), classes, rest);
}

/** The same for SVG. */
export function s(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  return fill(document.createElementNS(SVG, tag), classes, rest);
}

function fill(element, classes, rest) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  const props = isProps(rest[0]) ? rest.shift() : {};
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  append(element, rest);
  return element;
}

const isProps = (value) =>
  value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * Make an element's children follow a list, each item known by its key: what stays is kept, moved and
 * updated, so that focus and scrolling survive.
 */
export function follow(element, items, key, make, update) {
  const known = new Map([...element.children].map((child) => [child.dataset.key, child]));
  let place = element.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = known.get(name);
    if (child) known.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    update?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else element.insertBefore(child, place);
  }
  for (const gone of known.values()) gone.remove();
}

/** Whether a person is typing within a box; then it must not be drawn again. */
export const busy = (box) =>
  box.contains(document.activeElement) && document.activeElement.matches("input,textarea,select");

/** Call a function at most once per frame. */
export function perFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/** Call a function soon, and at most once in so many milliseconds. */
export function atMostEvery(pause, work) {
  let asked = false,
    last = 0;
  return () => {
    if (asked) return;
    asked = true;
    setTimeout(
      () => {
        asked = false;
        last = Date.now();
        work();
      },
      Math.max(0, last + pause - Date.now()),
    );
  };
}
