// The graph of a concept's neighbourhood: its contrastive concepts around it, and the pairs among them.

const STEP = 30,
  TALL = 400,
  WIDE = 680;

/** Neighbours so that linked ones are side by side: each is followed by the free one it has most to do with. */
function chained(neighbours, weight) {
  const free = [...neighbours],
    order = free.splice(0, 1);
  while (free.length) {
    const last = order[order.length - 1];
    let best = 0;
    for (let k = 1; k < free.length; k++) if (weight(last, free[k]) > weight(last, free[best])) best = k;
    order.push(...free.splice(best, 1));
  }
  return order;
}

/** Frequencies of the pairs among concepts: `weight(a, b)`, 0 if neither lists the other, and the list of pairs. */
function pairsAmong(kept, nodes) {
  const shown = new Set(nodes.map(node => node.id)),
    found = new Map();
  for (const { id } of nodes.filter(node => node.id < head.concepts)) {
    for (const pair of pairsOf(kept, id))
      if (shown.has(pair.id)) found.set(id + " " + pair.id, pair.frequency || 0.001);
  }
  const weight = (a, b) => Math.max(found.get(a.id + " " + b.id) ?? 0, found.get(b.id + " " + a.id) ?? 0);
  const links = nodes
    .flatMap((a, k) =>
      nodes.slice(k + 1).map(b => ({
        a,
        b,
        weight: weight(a, b),
        mutual: found.has(a.id + " " + b.id) && found.has(b.id + " " + a.id),
      })),
    )
    .filter(each => each.weight);
  return { weight, links };
}

/** Positions: down the right side, then up the left, on an ellipse whose rows are equally far apart, so that no two
    labels meet. Returns the height. */
function place(order, width, room) {
  const rows = Math.ceil(order.length / 2),
    step = Math.min(Math.max(STEP, TALL / rows), 1.6 * STEP),
    height = rows * step + 24;
  order.forEach((node, k) => {
    const right = k < rows,
      column = right ? rows : order.length - rows;
    const down = (right ? k + 0.5 : order.length - k - 0.5) / column;
    const out = (width / 2 - room) * (0.3 + 0.7 * 2 * Math.sqrt(down * (1 - down)));
    Object.assign(node, { right, x: width / 2 + (right ? out : -out), y: 12 + down * rows * step });
  });
  return height;
}

/** A line from a to b, bent towards the middle; between neighbours on one side it is almost straight. */
function curve(a, b, middle) {
  const share = a.right === b.right && Math.abs(a.y - b.y) < 2 * STEP ? 0.9 : 0.45;
  const [x, y] = ["x", "y"].map(axis => middle[axis] + share * ((a[axis] + b[axis]) / 2 - middle[axis]));
  return "M" + [a.x, a.y, "Q", x, y, b.x, b.y].map(each => each.toFixed?.(1) ?? each).join(" ");
}

function neighbourhood(dictionary, id, space) {
  const width = Math.min(space, WIDE);
  const all = pairsOf(dictionary.kept, id),
    nodes = all.slice(0, width < 480 ? 14 : 24);
  const { weight, links } = pairsAmong(dictionary.kept, nodes);
  const order = chained(nodes, weight),
    room = Math.min(160, width * 0.34),
    height = place(order, width, room);
  const centre = { x: width / 2, y: height / 2 },
    most = Math.max(...nodes.map(node => node.frequency ?? 0), 1e-9);
  const strongest = Math.max(...links.map(each => each.weight), 1e-9);
  const letters = Math.floor((room - 14) / 7.8),
    short = name => (name.length > letters ? name.slice(0, letters - 1) + "…" : name);
  const note = element("p", { class: "note" });
  const part = nodes.length < all.length ? ` of ${whole(all.length)}, the first by rank` : "";
  const rest = `${plural(nodes.length, "contrastive concept")}${part}, ${plural(links.length, "pair")} among them.`;
  note.textContent = rest;

  const lines = links.map(({ a, b, weight, mutual }) => ({
    ends: [a, b],
    shape: drawn("path", {
      class: mutual ? "pair" : "pair single",
      d: curve(a, b, centre),
      "stroke-width": (0.8 + 2.4 * Math.sqrt(weight / strongest)).toFixed(2),
    }),
  }));
  const spokes = order.map(node => ({
    ends: [node],
    shape: drawn("line", {
      class: "spoke",
      x1: centre.x,
      y1: centre.y,
      x2: node.x.toFixed(1),
      y2: node.y.toFixed(1),
      "stroke-width": (0.8 + 4 * Math.sqrt((node.frequency ?? 0) / most)).toFixed(2),
    }),
  }));
  const linked = node =>
    links.filter(each => each.a === node || each.b === node).map(each => (each.a === node ? each.b : each.a));
  const dots = order.map((node, k) => {
    const others = linked(node).map(other => other.name);
    const told = [
      node.frequency === null ? null : `in ${percent(node.frequency)} of the captions`,
      others.length ? `pairs with ${others.join(", ")}` : "no pair here",
    ];
    const text = `${node.name}: ${told.filter(Boolean).join("; ")}`;
    const known = node.id < head.concepts && dictionary.has[node.id];
    const dot = drawn(
      "a",
      {
        class: "dot",
        href: known ? address(node.name) : null,
        role: known ? null : "img",
        tabindex: k ? -1 : 0,
        "aria-label": text,
      },
      drawn("title", {}, node.name),
      drawn("rect", {
        x: node.right ? node.x - 12 : node.x - room,
        y: node.y - STEP / 2,
        width: room + 12,
        height: STEP,
        class: "touch",
      }),
      drawn("circle", {
        cx: node.x.toFixed(1),
        cy: node.y.toFixed(1),
        r: (3.5 + 5.5 * Math.sqrt((node.frequency ?? 0) / most)).toFixed(1),
      }),
      drawn(
        "text",
        {
          x: (node.x + (node.right ? 14 : -14)).toFixed(1),
          y: (node.y + 4.5).toFixed(1),
          "text-anchor": node.right ? "start" : "end",
        },
        short(node.name),
      ),
    );
    return { node, dot, text };
  });

  const name = head.names[id];
  const svg = drawn(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "group",
      class: "neighbourhood",
      "aria-label": `Neighbourhood of ${name}: ${rest} Arrow keys go from one to the next, Enter opens it.`,
    },
    lines.map(line => line.shape),
    spokes.map(line => line.shape),
    centred(name, centre),
    dots.map(each => each.dot),
  );
  const light = found => {
    svg.classList.toggle("lit", Boolean(found));
    const near = found ? new Set([found.node, ...linked(found.node)]) : new Set();
    for (const { ends, shape } of [...lines, ...spokes])
      shape.classList.toggle("on", Boolean(found) && ends.includes(found.node));
    for (const { node, dot } of dots) dot.classList.toggle("on", near.has(node));
    note.textContent = found ? found.text : rest;
  };
  const turn = (k, step) => {
    const next = dots[(k + step + dots.length) % dots.length];
    for (const each of dots) each.dot.setAttribute("tabindex", each === next ? 0 : -1);
    next.dot.focus();
  };
  dots.forEach((each, k) => {
    for (const event of ["mouseenter", "focus"]) each.dot.addEventListener(event, () => light(each));
    for (const event of ["mouseleave", "blur"]) each.dot.addEventListener(event, () => light(null));
    each.dot.addEventListener("keydown", event => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      turn(k, step);
    });
  });
  return [svg, note];
}

/** The concept itself, in the middle. */
function centred(name, { x, y }) {
  const shown = name.length > 18 ? name.slice(0, 17) + "…" : name,
    half = 14 + 4.1 * shown.length;
  return drawn(
    "g",
    { class: "centre", "aria-hidden": "true" },
    drawn("rect", { x: x - half, y: y - 15, width: 2 * half, height: 30, rx: 15 }),
    drawn("text", { x, y: y + 5, "text-anchor": "middle" }, shown),
  );
}
