// What can be copied: a list, a prompt, JSON as `contrastive-concepts export` writes it.

const same = name => name.replaceAll("_", " ").toLowerCase().split(/\s+/).filter(Boolean).join(" ");

/** The answer to a query: "background" first, and never the query itself. */
function answer(dictionary, id) {
  const query = head.names[id],
    mined = pairsOf(dictionary.kept, id).map(pair => pair.name);
  return [head.background, ...mined.filter(name => name !== head.background)].filter(
    name => same(name) !== same(query),
  );
}

function typed(dictionary, id) {
  const found = Object.fromEntries([head.context, ...Object.values(head.types)].map(kind => [kind, []]));
  found[head.context] = pairsOf(dictionary.kept, id).map(pair => pair.name);
  for (const { name, reason } of pairsOf(dictionary.rejected, id)) {
    if (head.types[reason] && name !== head.background) found[head.types[reason]].push(name);
  }
  for (const kind of Object.keys(found)) found[kind] = found[kind].filter(name => same(name) !== same(head.names[id]));
  return found;
}

const FORMS = {
  List: (dictionary, id) =>
    pairsOf(dictionary.kept, id)
      .map(pair => pair.name)
      .join("\n"),
  Prompt: (dictionary, id) => [head.names[id], ...answer(dictionary, id)].join(", "),
  JSON: (dictionary, id) =>
    JSON.stringify(
      {
        query: head.names[id],
        concept: head.names[id],
        similarity: 1,
        contrastive_concepts: answer(dictionary, id),
        types: typed(dictionary, id),
      },
      null,
      1,
    ),
};
const COMPARED_FORMS = {
  List: id =>
    Object.entries({ gained: "+", lost: "-", stays: " " })
      .flatMap(([key, sign]) => compared(id)[key].map(({ name }) => sign + name))
      .join("\n"),
  JSON: id => {
    const { gained, lost, stays } = compared(id),
      all = gained.length + lost.length + stays.length;
    const names = pairs => pairs.map(({ name }) => name);
    return JSON.stringify(
      {
        concept: head.names[id],
        kept_in_both: stays.length,
        added: names(gained),
        dropped: names(lost),
        jaccard: all ? stays.length / all : 1,
      },
      null,
      1,
    );
  },
};
const PURPOSE = {
  List: "one contrastive concept a line",
  Prompt: "the concept and its contrastive concepts, separated by commas",
  JSON: "as exported, with the types of what was rejected",
};

function copyButtons(forms, ...given) {
  return element(
    "div",
    { class: "copy", role: "group", "aria-label": "Copy" },
    element("span", { "aria-hidden": "true" }, "Copy"),
    Object.entries(forms).map(([name, make]) =>
      element(
        "button",
        {
          type: "button",
          "aria-label": `Copy as ${name === "JSON" ? name : name.toLowerCase()}`,
          title: PURPOSE[name],
          onclick: async event => {
            const button = event.currentTarget;
            if (!(await copy(make(...given)))) return;
            say(`${name} copied`);
            button.textContent = "Copied";
            setTimeout(() => {
              button.textContent = name;
            }, 1500);
          },
        },
        name,
      ),
    ),
  );
}

/** Copy by the clipboard, by the old command where a page has none, or else by hand. Returns whether it was copied. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    /* No clipboard, or not for this page. */
  }
  const box = element("textarea", { class: "hidden", readonly: "" }),
    before = document.activeElement;
  box.value = text;
  document.body.append(box);
  box.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    /* By hand, then. */
  }
  box.remove();
  before?.focus();
  if (!done) {
    const shown = $("by-hand").querySelector("textarea");
    shown.value = text;
    $("by-hand").showModal();
    shown.select();
  }
  return done;
}
