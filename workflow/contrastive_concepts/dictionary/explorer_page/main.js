// Start, address, theme, keys.

const say = text => {
  $("status").textContent = text;
};

/** The name in the address. Takes a written `#50% off` as well as the encoded form. */
function named() {
  return location.hash.slice(1).replace(/(%[0-9a-f]{2})+/gi, part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

function idOf(name) {
  const exact = head.names.indexOf(name);
  return exact >= 0 && exact < head.concepts ? exact : list.folded.indexOf(fold(name));
}

function fromAddress() {
  const name = named(),
    id = name ? idOf(name) : (head.example ?? -1);
  if (id >= 0) open(id);
  else notFound(name);
}

/** Open a concept and note it in the history. */
function go(id) {
  if (location.hash !== address(head.names[id])) location.hash = address(head.names[id]);
  else open(id);
  if (narrow.matches) $("main").scrollIntoView();
}

function useTheme() {
  const stored = (() => {
    try {
      return localStorage.getItem("theme") ?? "";
    } catch {
      return "";
    }
  })();
  const apply = value => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  $("theme").value = ["light", "dark"].includes(stored) ? stored : "";
  apply($("theme").value);
  $("theme").addEventListener("change", () => {
    apply($("theme").value);
    // A page from a file may have no storage: the theme then lasts as long as the page.
    try {
      localStorage.setItem("theme", $("theme").value);
    } catch {
      /* Not remembered. */
    }
  });
}

function keys(event) {
  if ($("by-hand").open) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) $("search").select();
  else if (event.key === "Escape" && event.target === $("search") && $("search").value) {
    $("search").value = "";
    find();
  } else if (event.key === "Escape" && event.target !== $("search")) $("search").focus();
  else return;
  event.preventDefault();
}

function totals() {
  const summary = head.summary,
    [first] = dictionaries;
  $("totals").dataset.title = document.title;
  $("totals").replaceChildren(
    ...(summary
      ? [
          `${whole(summary["concepts in both"])} concepts in both, ${whole(summary.unchanged)} unchanged; `,
          element("ins", {}, `+${whole(summary.added)} gained`),
          ", ",
          element("del", {}, `−${whole(summary.dropped)} lost`),
          `; mean Jaccard index ${summary["mean Jaccard index"].toFixed(2)}`,
        ]
      : [
          `${plural(head.concepts, "concept")}, ${plural(first.pairs[0], "contrastive concept")}, `,
          `${whole(first.pairs[1])} rejected`,
        ]),
  );
}

const narrow = matchMedia("(max-width: 48rem)");
useTheme();
unpack()
  .then(() => {
    totals();
    about();
    startList();
    fromAddress();
    addEventListener("hashchange", () => {
      const inside = $("main").contains(document.activeElement);
      fromAddress();
      $("main").scrollTop = 0;
      if (inside) $("concept").querySelector("h2").focus();
    });
    document.addEventListener("keydown", keys);
    $("skip").addEventListener("click", () => $("concept").querySelector("h2").focus());
    new ResizeObserver(drawNeighbourhood).observe($("main"));
    document.body.dataset.ready = Math.round(performance.now());
  })
  .catch(error => {
    $("concept").textContent = "This page cannot be read: " + error;
  });
