// The list of concepts: search, order, filter. Only the rows in sight are elements.

const list = { results: [], active: 0, opened: -1, height: 0, shown: "", folded: [], changes: null, orders: {} };
const CHUNK = 8;

/** A text without differences of letter case, accents and blanks. */
const fold = text =>
  text
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[\s_]+/g, " ")
    .trim();
const both = value => id => Math.max(...dictionaries.map(each => (each.has[id] ? (value(each, id) ?? 0) : 0)));
const captions = both((dictionary, id) => dictionary.count[id]);
const size = both((dictionary, id) => sizeOf(dictionary.kept, id));
const changes = id => (list.changes[id] ? list.changes[id].gained + list.changes[id].lost : -1);
const changed = id => list.changes[id] !== null && changes(id) > 0;
const visible = id => dictionaries.some(each => each.visible[id]);
const ORDERS = { changes: "Changes", captions: "Captions", size: "Length of list", name: "A to Z" };
const FILTERS = {
  all: ["All", () => true],
  listed: ["With a list", id => size(id) > 0],
  visible: ["Visible", visible],
  invisible: ["Not visible", id => !visible(id)],
};
const COMPARED = {
  changed: ["Changed", changed],
  unchanged: ["Unchanged", id => list.changes[id] !== null && !changed(id)],
  first: ["Only in A", id => !dictionaries[1].has[id]],
  second: ["Only in B", id => !dictionaries[0].has[id]],
};

function startList() {
  list.folded = head.names.slice(0, head.concepts).map(fold);
  if (dictionaries.length > 1) {
    list.changes = compareAll(dictionaries);
    Object.assign(FILTERS, COMPARED);
  } else delete ORDERS.changes;
  const ids = Array.from({ length: head.concepts }, (_, id) => id);
  for (const [key, text] of Object.entries(ORDERS)) $("sort").append(element("option", { value: key }, text));
  for (const [key, [text, keeps]] of Object.entries(FILTERS)) {
    $("filter").append(element("option", { value: key }, `${text} (${whole(ids.filter(keeps).length)})`));
  }
  for (const name of ["sort", "filter"]) $(name).addEventListener("change", find);
  $("search").addEventListener("input", find);
  for (const name of ["search", "found"]) $(name).addEventListener("keydown", keyInList);
  $("found").addEventListener("scroll", show, { passive: true });
  $("found").addEventListener("click", event => {
    const item = event.target.closest("[role=option]");
    if (item) {
      activate(Number(item.dataset.row));
      go(list.results[list.active]);
    }
  });
  new ResizeObserver(show).observe($("found"));
  find();
}

function ordered(key) {
  if (!list.orders[key]) {
    const ids = Array.from({ length: head.concepts }, (_, id) => id),
      value = { changes, captions, size }[key];
    const collator = new Intl.Collator(undefined, { numeric: true });
    const values = value && ids.map(value);
    list.orders[key] = ids.sort(
      value ? (a, b) => values[b] - values[a] : (a, b) => collator.compare(head.names[a], head.names[b]),
    );
  }
  return list.orders[key];
}

/** Concepts with the text in their name: the name itself, then beginnings of names, of words, other places. */
function search(text, order, keeps) {
  const asked = fold(text),
    places = [[], [], [], []];
  for (const id of ordered(order)) {
    const name = list.folded[id],
      place = name.indexOf(asked);
    if (place < 0 || !keeps(id)) continue;
    places[name === asked || !asked ? 0 : place === 0 ? 1 : name[place - 1] === " " ? 2 : 3].push(id);
  }
  return places.flat();
}

function find() {
  list.results = search($("search").value, $("sort").value, FILTERS[$("filter").value][1]);
  list.active = 0;
  list.shown = "";
  $("found").scrollTop = 0;
  const narrowed = $("search").value.trim() || $("filter").value !== "all";
  $("number").replaceChildren(
    narrowed
      ? `${whole(list.results.length)} of ${plural(head.concepts, "concept")}`
      : plural(head.concepts, "concept"),
  );
  if (narrowed) {
    $("number").append(" ", element("button", { type: "button", class: "plain", onclick: clear }, "Show all"));
    say(plural(list.results.length, "concept") + " found");
  }
  show();
}

function clear() {
  $("search").value = "";
  $("filter").value = "all";
  find();
  $("search").focus();
}

/** Make the rows in sight, and some before and after. A row that stays is not touched: a finger may be on it. */
function show() {
  const box = $("found"),
    count = list.results.length;
  if (!list.height && count) {
    box.replaceChildren(item(0, 1));
    list.height = box.firstChild.getBoundingClientRect().height;
  }
  const height = list.height || 1;
  const from = Math.max(0, Math.floor(box.scrollTop / height / CHUNK - 1) * CHUNK);
  const to = Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / height / CHUNK + 1) * CHUNK);
  const shown = `${from} ${to}`;
  if (shown !== list.shown) {
    const stale = !list.shown; // other results than those in the box
    list.shown = shown;
    const largest = Math.max(
      1,
      ...ordered($("sort").value === "captions" ? "captions" : "size")
        .slice(0, 1)
        .map(value),
    );
    box.style.setProperty("--before", from * list.height + "px");
    box.style.setProperty("--after", (count - to) * list.height + "px");
    const rows = (first, end) => list.results.slice(first, end).map((_, k) => item(first + k, largest));
    const number = each => Number(each.dataset.row);
    for (const each of [...box.children]) if (stale || !(number(each) >= from && number(each) < to)) each.remove();
    const [first, end] = box.children.length
      ? [number(box.firstChild), number(box.lastChild) + 1]
      : [to, to];
    box.prepend(...rows(from, first));
    box.append(...rows(end, to));
    if (!count) box.append(element("li", { role: "presentation", class: "none" }, "No concept has this in its name."));
  }
  for (const each of box.querySelectorAll("[role=option]")) {
    each.setAttribute("aria-selected", Number(each.dataset.row) === list.active);
    if (list.results[each.dataset.row] === list.opened) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  for (const name of ["search", "found"]) {
    const active = document.getElementById("option-" + list.active);
    if (active) $(name).setAttribute("aria-activedescendant", active.id);
    else $(name).removeAttribute("aria-activedescendant");
  }
}

const value = id =>
  $("sort").value === "captions" ? captions(id) : $("sort").value === "changes" ? Math.max(changes(id), 0) : size(id);

function item(number, largest) {
  const id = list.results[number],
    change = list.changes?.[id];
  let facts, told;
  if (list.changes && $("sort").value !== "captions") {
    const { stays, gained, lost } = change ?? {};
    facts = change
      ? [
          element(
            "span",
            {},
            gained ? element("ins", {}, "+" + gained) : null,
            lost ? element("del", {}, "−" + lost) : null,
            gained + lost ? null : "=",
          ),
          stacked([
            [stays, "stays"],
            [gained, "gained"],
            [lost, "lost"],
          ]),
        ]
      : [element("span", { class: "only" }, "only in " + (dictionaries[0].has[id] ? "A" : "B"))];
    told = change ? `${stays} unchanged, ${gained} gained, ${lost} lost` : facts[0].textContent;
  } else {
    const found = value(id);
    facts = [element("span", {}, whole(found)), bar(Math.sqrt(found / largest), "amount")];
    told = plural(found, $("sort").value === "captions" ? "caption" : "contrastive concept");
  }
  return element(
    "li",
    {
      role: "option",
      id: "option-" + number,
      "data-row": number,
      "aria-posinset": number + 1,
      "aria-setsize": list.results.length,
      "aria-label": `${head.names[id]}, ${told}`,
      title: head.names[id],
    },
    element("span", { class: "name" }, head.names[id]),
    ...facts,
  );
}

/** Make a row the active one and scroll to it: just into sight, or to the middle if it was out of sight. */
function activate(number, toMiddle = false) {
  list.active = Math.min(Math.max(number, 0), list.results.length - 1);
  const box = $("found"),
    top = list.active * list.height,
    below = top + list.height - box.clientHeight;
  if (top < box.scrollTop || below > box.scrollTop)
    box.scrollTop = toMiddle ? (top + below) / 2 : top < box.scrollTop ? top : below;
  show();
}

/** Mark the open concept and bring it into sight. */
function reveal(id) {
  const place = list.results.indexOf(id);
  if (place < 0) show();
  else activate(place, true);
}

function keyInList(event) {
  const page = Math.max(1, Math.floor($("found").clientHeight / list.height) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
  if (event.target === $("found")) Object.assign(steps, { Home: -Infinity, End: Infinity });
  if (event.key === "Enter" && list.results.length) go(list.results[list.active]);
  else if (event.key in steps && list.results.length && !event.altKey && !event.ctrlKey && !event.metaKey)
    activate(list.active + steps[event.key]);
  else return;
  event.preventDefault();
}
