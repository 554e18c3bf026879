// A concept in two dictionaries: what the second gains, loses and keeps.

/** The contrastive concepts of both in three groups, each with its pair in the first and in the second dictionary. */
function compared(id) {
  const [before, after] = dictionaries.map(each => pairsOf(each.kept, id));
  const [inA, inB] = [before, after].map(pairs => new Map(pairs.map(pair => [pair.id, pair])));
  const joined = pair => ({ id: pair.id, name: pair.name, a: inA.get(pair.id), b: inB.get(pair.id) });
  return {
    gained: after.filter(pair => !inA.has(pair.id)).map(joined),
    lost: before.filter(pair => !inB.has(pair.id)).map(joined),
    stays: after.filter(pair => inA.has(pair.id)).map(joined),
  };
}

/** Why a dictionary does not have a pair. */
function absence(dictionary, id, other) {
  const rejected = pairsOf(dictionary.rejected, id).find(pair => pair.id === other);
  if (rejected) return chip(rejected.reason);
  return element(
    "span",
    { class: "quiet" },
    dictionary.gamma === null
      ? "not listed"
      : other < head.concepts && dictionary.has[other]
        ? "too rare beside it"
        : "not a concept there",
  );
}

const GROUPS = [
  ["gained", "+", "Gained", 0],
  ["lost", "−", "Lost", 1],
  ["stays", "=", "Unchanged", null],
];

function comparison(id) {
  const groups = compared(id),
    all = Object.values(groups).flat();
  if (!all.length) return [element("p", { class: "empty" }, "Neither dictionary has a contrastive concept for it.")];
  const most = Math.max(...all.flatMap(({ a, b }) => [a?.frequency ?? 0, b?.frequency ?? 0]), 1e-9);
  const names = dictionaries.map(each => each.label);
  const side = (label, pair, absent) =>
    cell(
      "measure",
      element("span", { class: "side" }, label),
      ...(pair
        ? [
            bar((pair.frequency ?? 0) / most, "frequency"),
            element("span", { class: "number" }, percent(pair.frequency)),
          ]
        : [element("span", { class: "absent" }, absent)]),
    );
  return GROUPS.filter(([key]) => groups[key].length).map(([key, sign, title, lacks]) => {
    const rows = groups[key].map(
      ({ id: other, name, a, b }) =>
        () =>
          row(
            first(
              element("span", { class: "sign", "data-kind": key, "aria-hidden": "true" }, sign),
              link({ id: other, name }),
            ),
            side(names[0], a, lacks === 0 ? absence(dictionaries[0], id, other) : ""),
            side(names[1], b, lacks === 1 ? absence(dictionaries[1], id, other) : ""),
          ),
    );
    const told = `${title} (${groups[key].length})`;
    return element(
      "section",
      { "aria-label": told },
      element("h3", { "data-kind": key }, title, element("small", {}, whole(groups[key].length))),
      ...table(told, ["Concept", ...names], rows, "compared"),
    );
  });
}
