// Building the page. All content is added as text or as nodes, never as markup, so data cannot become code.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** Make an HTML element: h("div.row", {onclick, "aria-label": "…"}, child, [children], "text", null). */
export function h(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  return build(document.createElement(tag || "div"), classes, rest);
}

/** Make an SVG element, with the same arguments. */
export function svg(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  return build(document.createElementNS(SVG_NAMESPACE, tag), classes, rest);
}

function build(element, classes, rest) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  const properties = isProperties(rest[0]) ? rest.shift() : {};
  for (const [name, value] of Object.entries(properties)) setProperty(element, name, value);
  append(element, rest);
  return element;
}

const isProperties = (value) =>
  value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;

function setProperty(element, name, value) {
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

/** Replace the children of an element. */
export function setContent(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * Make the children of an element match a list. Items are matched to children by `key`; existing children are kept,
 * moved and updated, so focus and scroll position survive.
 */
export function reconcile(element, items, key, make, update) {
  const existing = new Map([...element.children].map((child) => [child.dataset.key, child]));
  let place = element.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = existing.get(name);
    if (child) existing.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    update?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else element.insertBefore(child, place);
  }
  for (const removed of existing.values()) removed.remove();
}

/** Whether someone is typing in an element, which must then not be rendered again. */
export const isBeingEdited = (element) =>
  element.contains(document.activeElement) && document.activeElement.matches("input,textarea,select");

/** Return a function that calls `work` at most once per frame. */
export function oncePerFrame(work) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      work();
    });
  };
}

/** Return a function that calls `work` soon, and at most once every `pause` milliseconds. */
export function throttle(pause, work) {
  let scheduled = false;
  let last = 0;
  return () => {
    if (scheduled) return;
    scheduled = true;
    setTimeout(
      () => {
        scheduled = false;
        last = Date.now();
        work();
      },
      Math.max(0, last + pause - Date.now()),
    );
  };
}
