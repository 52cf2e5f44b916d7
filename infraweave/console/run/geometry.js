// The geometry of a graph: lines through points, and the neighbours of a node. Pure.

const CORNER_RADIUS = 12;

/** The SVG path of an edge. Edges are smooth curves; the ways back of loops are square, with round corners. */
export const edgePath = (points, kind) => (kind === "loop" ? squarePath(points) : smoothPath(points));

const smoothPath = ([first, ...rest]) => {
  let from = first;
  let path = `M${first[0]} ${first[1]}`;
  for (const to of rest) {
    path += curve(from, to);
    from = to;
  }
  return path;
};

const curve = ([x, y], [toX, toY]) => {
  const middle = (x + toX) / 2;
  return x === toX || y === toY ? `L${toX} ${toY}` : `C${middle} ${y} ${middle} ${toY} ${toX} ${toY}`;
};

function squarePath([first, ...rest]) {
  let from = first;
  let path = `M${first[0]} ${first[1]}`;
  for (const [index, corner] of rest.entries()) {
    const next = rest[index + 1];
    if (!next) return `${path}L${corner[0]} ${corner[1]}`;
    const radius = Math.min(CORNER_RADIUS, distance(from, corner) / 2, distance(corner, next) / 2);
    const start = moveToward(corner, from, radius);
    const end = moveToward(corner, next, radius);
    path += `L${start[0]} ${start[1]}Q${corner[0]} ${corner[1]} ${end[0]} ${end[1]}`;
    from = corner;
  }
  return path;
}

const distance = ([x, y], [toX, toY]) => Math.hypot(toX - x, toY - y);

function moveToward([x, y], to, length) {
  const whole = distance([x, y], to) || 1;
  return [x + ((to[0] - x) * length) / whole, y + ((to[1] - y) * length) / whole];
}

/** Where the label of a loop's edge goes: above the middle of its lowest piece. */
export function loopLabelPosition(points) {
  const lowest = Math.max(...points.map(([, y]) => y));
  const ends = points.filter(([, y]) => y === lowest);
  return { x: (ends[0][0] + ends.at(-1)[0]) / 2, y: lowest - 5 };
}

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** The nearest node in the direction of an arrow key; null for other keys and when there is none. */
export function neighbour(boxes, name, key) {
  const direction = DIRECTIONS[key];
  if (!direction) return null;
  const from = boxes[name];
  let nearest = null;
  let least = Infinity;
  for (const [other, box] of Object.entries(boxes)) {
    const [dx, dy] = [box.x - from.x, box.y - from.y];
    const ahead = dx * direction[0] + dy * direction[1];
    const aside = Math.abs(dx * direction[1] + dy * direction[0]);
    if (ahead > 0 && ahead + 2.5 * aside < least) [nearest, least] = [other, ahead + 2.5 * aside];
  }
  return nearest;
}
