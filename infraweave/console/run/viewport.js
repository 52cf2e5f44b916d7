// Zooming and panning of a drawing.

const PADDING = 12;
const MIN_SCALE = 0.05;
const MAX_SCALE = 2.5;
/** The largest scale at which a whole drawing is shown. */
const MAX_FIT_SCALE = 1.15;
/** The scale at which names are easy to read. */
const READABLE_SCALE = 0.75;
/** A drawing that fits only below this scale is shown from its beginning, at the readable scale. */
const SMALL_SCALE = 0.5;
/** A drawing that fits only below this scale is so large that it is shown as a whole. */
const TINY_SCALE = 0.2;
/** Pixels that the pointer moves before a click becomes a drag. */
const DRAG_THRESHOLD = 4;

/** Let a group inside an SVG element be zoomed and panned; `size` is {width, height} of the drawing. */
export function createViewport(canvas, group, size) {
  const view = { x: 0, y: 0, scale: 1 };
  const apply = () => group.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  const pan = (dx, dy) => {
    view.x += dx;
    view.y += dy;
    apply();
  };
  /** Zoom by a factor around a point of the canvas, by default its centre. */
  const zoom = (factor, point = null) => {
    const { width, height } = canvas.getBoundingClientRect();
    const [x, y] = point ?? [width / 2, height / 2];
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, view.scale * factor));
    view.x = x - (x - view.x) * (scale / view.scale);
    view.y = y - (y - view.y) * (scale / view.scale);
    view.scale = scale;
    apply();
  };
  /** Show the whole drawing, or with `readable` only its beginning when names would be too small. */
  const fit = (readable = false) => {
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const whole = Math.min(MAX_FIT_SCALE, (width - 2 * PADDING) / size.width, (height - 2 * PADDING) / size.height);
    const startsReadable = readable && whole < SMALL_SCALE && whole > TINY_SCALE;
    view.scale = startsReadable ? READABLE_SCALE : Math.max(whole, MIN_SCALE);
    view.x = size.width * view.scale > width && readable ? 0 : (width - size.width * view.scale) / 2;
    view.y = (height - size.height * view.scale) / 2;
    apply();
  };
  /** Centre a box of the drawing when it lies outside the canvas. */
  const reveal = (box) => {
    const { width, height } = canvas.getBoundingClientRect();
    const x = view.x + (box.x + box.width / 2) * view.scale;
    const y = view.y + (box.y + box.height / 2) * view.scale;
    if (x > 60 && x < width - 60 && y > 30 && y < height - 30) return;
    pan(width / 2 - x, height / 2 - y);
  };
  canvas.addEventListener("wheel", (event) => onWheel(event, canvas, pan, zoom), { passive: false });
  const drag = enableDragging(canvas, pan);
  return { zoom, fit, reveal, wasDragged: () => drag.moved };
}

function onWheel(event, canvas, pan, zoom) {
  event.preventDefault();
  const { left, top } = canvas.getBoundingClientRect();
  const isZoom = event.ctrlKey || event.metaKey || !event.deltaX;
  if (isZoom) zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 120 : 420)), [event.clientX - left, event.clientY - top]);
  else pan(-event.deltaX, -event.deltaY);
}

/** Pan while the pointer is pressed; `moved` of the result says whether the last press became a drag. */
function enableDragging(canvas, pan) {
  const drag = { moved: false };
  canvas.addEventListener("pointerdown", (event) => {
    drag.moved = false;
    let last = event;
    const onMove = (next) => {
      const distance = Math.hypot(next.clientX - event.clientX, next.clientY - event.clientY);
      if (!drag.moved && distance < DRAG_THRESHOLD) return;
      if (!drag.moved) canvas.setPointerCapture(event.pointerId);
      drag.moved = true;
      pan(next.clientX - last.clientX, next.clientY - last.clientY);
      last = next;
    };
    const onEnd = () => canvas.removeEventListener("pointermove", onMove);
    canvas.addEventListener("pointermove", onMove);
    canvas.addEventListener("pointerup", onEnd, { once: true });
    canvas.addEventListener("pointercancel", onEnd, { once: true });
  });
  return drag;
}
