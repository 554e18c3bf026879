// The concept that is open.

// view: the dictionary that is shown, null for the comparison. chosen: what was asked for; a concept that only one
// dictionary has is shown in that one.
const state = { id: -1, view: null, chosen: null };

const kindOf = reason => head.types[reason] ?? "other";
const chip = reason =>
  element(
    "span",
    { class: "chip", "data-kind": kindOf(reason) },
    head.types[reason] ?? reason,
    head.types[reason] && head.types[reason] !== reason ? element("small", {}, reason) : null,
  );

function open(id) {
  const present = dictionaries.filter(each => each.has[id]);
  state.view = present.length > 1 ? state.chosen : present[0];
  state.id = id;
  const name = head.names[id];
  document.title = `${name} · ${$("totals").dataset.title}`;
  const body = state.view ? single(state.view, id) : comparison(id);
  $("concept").replaceChildren(
    element(
      "div",
      { class: "title" },
      element("h2", { tabindex: -1 }, name),
      state.view ? copyButtons(FORMS, state.view, id) : copyButtons(COMPARED_FORMS, id),
    ),
    dictionaries.length > 1 ? views(id, present) : "",
    state.view ? facts(state.view, id) : changeFacts(id),
    ...body,
  );
  list.opened = id;
  reveal(id);
  drawNeighbourhood();
  const told = state.view
    ? `${plural(sizeOf(state.view.kept, id), "contrastive concept")}, ${whole(sizeOf(state.view.rejected, id))} rejected`
    : Object.entries(list.changes[id])
        .map(([key, count]) => `${count} ${key === "stays" ? "unchanged" : key}`)
        .join(", ");
  say(`${name}: ${told}`);
}

/** The switch between the comparison and each dictionary. */
function views(id, present) {
  const choose = view => () => {
    state.chosen = view;
    open(id);
    $("concept").querySelector(".views [aria-pressed=true]").focus();
  };
  const choice = (view, text) =>
    element("button", { type: "button", "aria-pressed": state.view === view, onclick: choose(view) }, text);
  return element(
    "div",
    { class: "views", role: "group", "aria-label": "Dictionary" },
    present.length > 1 ? choice(null, "A and B") : null,
    present.map(each => choice(each, each.label)),
    present.length < 2 ? element("span", { class: "quiet" }, `Only ${present[0].label} has this concept.`) : null,
  );
}

const tile = (title, number, ...below) =>
  element("div", {}, element("dt", {}, title), element("dd", {}, element("strong", {}, number), ...below));

function facts(dictionary, id) {
  const probability = dictionary.probability[id],
    reasons = counted(pairsOf(dictionary.rejected, id));
  const most = Math.max(...dictionary.counts, 1);
  return element(
    "dl",
    { class: "tiles" },
    dictionary.count[id] === null
      ? null
      : tile("Captions", whole(dictionary.count[id]), bar(Math.sqrt(dictionary.count[id] / most), "amount")),
    probability === null ? null : tile("P(visible)", probability.toFixed(2), bar(probability, "amount")),
    tile(
      "Contrastive concepts",
      whole(sizeOf(dictionary.kept, id)),
      element("small", {}, ` of ${plural(sizeOf(dictionary.kept, id) + sizeOf(dictionary.rejected, id), "candidate")}`),
      stacked([
        [sizeOf(dictionary.kept, id), "context"],
        [sizeOf(dictionary.rejected, id), "rest"],
      ]),
    ),
    tile(
      "Rejected",
      whole(sizeOf(dictionary.rejected, id)),
      stacked(reasons.map(([reason, count]) => [count, kindOf(reason)])),
    ),
  );
}

function changeFacts(id) {
  const { stays, gained, lost } = list.changes[id],
    all = stays + gained + lost;
  return element(
    "dl",
    { class: "tiles changes" },
    tile("Gained", "+" + whole(gained)),
    tile("Lost", "−" + whole(lost)),
    tile("Unchanged", whole(stays)),
    tile(
      "Jaccard index",
      (all ? stays / all : 1).toFixed(2),
      stacked([
        [stays, "stays"],
        [gained, "gained"],
        [lost, "lost"],
      ]),
    ),
  );
}

/** [reason, number of pairs], the most frequent first. */
function counted(pairs) {
  const found = new Map();
  for (const { reason } of pairs) found.set(reason, (found.get(reason) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]);
}

function single(dictionary, id) {
  const kept = pairsOf(dictionary.kept, id),
    rejected = pairsOf(dictionary.rejected, id),
    name = head.names[id];
  const most = Math.max(...kept.concat(rejected).map(pair => pair.frequency ?? 0), 1e-9);
  const measured = kept.concat(rejected).some(pair => pair.frequency !== null);
  const key = (kind, text) => element("span", {}, element("i", { class: kind }), text);
  const legend = measured
    ? element(
        "p",
        { class: "note legend" },
        key("frequency", `share of the captions with “${name}”; longest bar ${percent(most)}`),
        key("similarity", "cosine"),
        dictionary.delta === null ? null : key("mark", `rejected from ${dictionary.delta} on`),
      )
    : "";
  const one = pair =>
    row(
      first(link(pair)),
      cell(
        "measure",
        bar((pair.frequency ?? 0) / most, "frequency"),
        element("span", { class: "number" }, percent(pair.frequency)),
      ),
      cell(
        "count",
        pair.count === null ? "" : whole(pair.count),
        element("span", { class: "unit" }, pair.count === null ? "" : " captions"),
      ),
      cell(
        "measure",
        ...(pair.similarity === null
          ? []
          : [
              bar(pair.similarity, "similarity", dictionary.delta),
              element("span", { class: "number" }, pair.similarity.toFixed(2)),
            ]),
      ),
      ...(pair.reason === null ? [] : [cell("why", chip(pair.reason))]),
    );
  const columns = ["Concept", "Frequency", "Captions", "Similarity"];
  return [
    element(
      "div",
      { class: "halves" },
      element(
        "section",
        { "aria-labelledby": "kept-title" },
        element("h3", { id: "kept-title" }, "Contrastive concepts", element("small", {}, whole(kept.length))),
        legend,
        ...(kept.length
          ? table(
              "Contrastive concepts",
              columns,
              kept.map(pair => () => one(pair)),
              "pairs",
            )
          : [
              element(
                "p",
                { class: "empty" },
                rejected.length
                  ? "None: every candidate was rejected, for the reasons below."
                  : "None: no other concept is frequent enough beside it.",
              ),
            ]),
      ),
      kept.length
        ? element(
            "section",
            { "aria-labelledby": "graph-title" },
            element("h3", { id: "graph-title" }, "Neighbourhood"),
            element("div", { id: "graph" }),
            element(
              "p",
              { class: "note" },
              "Dots and lines grow with the frequency. A faint line: only one of the two lists the other.",
            ),
          )
        : "",
    ),
    element(
      "section",
      { "aria-labelledby": "rejected-title", id: "rejected" },
      element("h3", { id: "rejected-title" }, "Rejected candidates", element("small", {}, whole(rejected.length))),
      ...(rejected.length
        ? rejectedPairs(rejected, pairs =>
            table(
              "Rejected candidates",
              [...columns, "Why rejected"],
              pairs.map(pair => () => one(pair)),
              "pairs",
            ),
          )
        : [element("p", { class: "empty" }, "None.")]),
    ),
  ];
}

/** The rejected candidates, with buttons that show those of one reason. */
function rejectedPairs(pairs, tabled) {
  const place = element("div", {}, ...tabled(pairs)),
    reasons = counted(pairs);
  const buttons = [[null, pairs.length], ...reasons].map(([reason, count]) =>
    element(
      "button",
      {
        type: "button",
        "aria-pressed": reason === null,
        "data-kind": reason === null ? null : kindOf(reason),
        onclick: event => {
          for (const each of buttons) each.setAttribute("aria-pressed", each === event.currentTarget);
          place.replaceChildren(...tabled(pairs.filter(pair => reason === null || pair.reason === reason)));
        },
      },
      reason === null ? "all" : (head.types[reason] ?? reason),
      element("small", {}, whole(count)),
    ),
  );
  return [
    stacked(reasons.map(([reason, count]) => [count, kindOf(reason)])),
    element("div", { class: "reasons", role: "group", "aria-label": "Reasons" }, buttons),
    place,
  ];
}

function drawNeighbourhood() {
  const place = $("graph");
  if (!place) return;
  const width = Math.round(place.clientWidth);
  if (width && place.dataset.width !== String(width)) {
    place.dataset.width = width;
    place.replaceChildren(...neighbourhood(state.view, state.id, width));
  }
}

/** No concept has the address's name: those that share a word with it are offered. */
function notFound(name) {
  state.id = list.opened = -1;
  show();
  const words = name.split(/\s+/).filter(word => word),
    by = $("sort").value;
  const near = [...new Set(words.flatMap(word => search(word, by, () => true).slice(0, 4)))].slice(0, 12);
  const offered = near.length || head.example === null ? near : [head.example];
  document.title = $("totals").dataset.title;
  $("concept").replaceChildren(
    element("h2", { tabindex: -1 }, name || "Nothing to show"),
    element(
      "p",
      { class: "empty" },
      name
        ? `No concept has this name${dictionaries.length > 1 ? " in either dictionary" : ""}.`
        : "This dictionary has no contrastive concept.",
    ),
    offered.length
      ? element(
          "p",
          {},
          near.length ? "Near: " : "Try: ",
          offered.map((id, k) => [k ? ", " : "", link({ id, name: head.names[id] })]),
        )
      : "",
  );
  say(name ? `${name}: not found` : "Nothing to show");
}

/** The facts of the manifests side by side; what differs is strong. */
function about() {
  const keys = new Set(dictionaries.flatMap(each => Object.keys(each.facts)));
  const rows = [...keys].map(key => {
    const values = dictionaries.map(each => String(each.facts[key] ?? ""));
    const made = row(first(key), ...values.map(value => cell("", value)));
    made.classList.toggle("differs", new Set(values).size > 1);
    return made;
  });
  $("about").append(
    element(
      "table",
      { role: "table", "aria-label": $("about").textContent },
      titles(["Fact", ...dictionaries.map(each => each.label)]),
      element("tbody", { role: "rowgroup" }, rows),
    ),
  );
}
