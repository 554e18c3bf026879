// Elements of the page. Names are text nodes or attributes, never markup.

const $ = id => document.getElementById(id);

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return made;
}

/** An element with attributes (`onclick` is a listener) and children: elements, texts, lists of them. */
const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const whole = value => value.toLocaleString("en");
const percent = value => (value === null ? "" : (100 * value).toFixed(value < 0.01 ? 2 : 1) + " %");
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
const address = name => "#" + encodeURIComponent(name);

/** A bar of a share from 0 to 1, with a mark at a threshold. A screen reader reads the number beside it. */
function bar(share, kind, mark = null) {
  const made = element("span", { class: `bar ${kind}`, "aria-hidden": "true" });
  const length = element("i");
  length.style.width = 100 * Math.min(Math.max(share || 0, 0), 1) + "%";
  made.append(length);
  if (mark !== null && mark > 0 && mark < 1) {
    const line = element("b");
    line.style.left = 100 * mark + "%";
    made.append(line);
  }
  return made;
}

/** One bar of several parts, [count, kind] each. */
function stacked(parts) {
  const made = element("span", { class: "stacked", "aria-hidden": "true" });
  for (const [count, kind] of parts.filter(([count]) => count)) {
    const part = element("i", { "data-kind": kind });
    part.style.flexGrow = count;
    made.append(part);
  }
  return made;
}

/** The name of a pair's other concept; a link if a dictionary has that concept. */
const link = ({ id, name }) =>
  id < head.concepts ? element("a", { href: address(name) }, name) : element("span", {}, name);

// On a narrow screen the rows are grids, and only roles keep them a table.
const row = (...cells) => element("tr", { role: "row" }, ...cells);
const cell = (kind, ...children) => element("td", { role: "cell", class: kind }, ...children);
const first = (...children) => element("th", { role: "rowheader", scope: "row" }, ...children);
const titles = texts =>
  element(
    "thead",
    { role: "rowgroup" },
    row(...texts.map(text => element("th", { role: "columnheader", scope: "col" }, text))),
  );

/** A table that shows its first rows and, asked, the others. */
function table(label, columns, rows, kind) {
  const SHOWN = 100;
  const body = element(
    "tbody",
    { role: "rowgroup" },
    rows.slice(0, SHOWN).map(make => make()),
  );
  const made = element("table", { role: "table", "aria-label": label, class: kind }, titles(columns), body);
  if (rows.length <= SHOWN) return [made];
  const more = element(
    "button",
    {
      type: "button",
      onclick: () => {
        more.remove();
        body.append(...rows.slice(SHOWN).map(make => make()));
        body.rows[SHOWN].querySelector("a")?.focus();
      },
    },
    `Show all ${whole(rows.length)}`,
  );
  return [made, more];
}
