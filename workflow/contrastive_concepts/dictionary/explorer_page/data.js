// Reads the packed dictionaries (packing.py has the layout).

const NONE = 2 ** 32 - 1;
let head, dictionaries;

async function unpack() {
  const packed = $("data").textContent;
  const bytes = Uint8Array.fromBase64?.(packed) ?? Uint8Array.from(atob(packed), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const size = new DataView(buffer).getUint32(0, true);
  head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let at = 4 + size;
  const column = (Kind, count) => {
    const part = new Kind(buffer, at, count);
    at += 4 * count;
    return part;
  };
  const pairs = count => ({
    offsets: column(Int32Array, head.concepts + 1),
    id: column(Int32Array, count),
    count: column(Uint32Array, count),
    frequency: column(Float32Array, count),
    similarity: column(Float32Array, count),
  });
  dictionaries = head.dictionaries.map(described => {
    const ids = column(Int32Array, described.counts.length);
    const kept = pairs(described.pairs[0]),
      rejected = pairs(described.pairs[1]);
    rejected.reason = column(Int32Array, described.pairs[1]);
    const made = {
      ...described,
      kept,
      rejected,
      count: [],
      probability: [],
      visible: [],
      has: new Uint8Array(head.concepts),
    };
    ids.forEach((id, k) => {
      made.has[id] = 1;
      made.count[id] = described.counts[k];
      made.probability[id] = described.p_visible[k];
      made.visible[id] = described.visible[k];
    });
    return made;
  });
}

const sizeOf = (pairs, id) => pairs.offsets[id + 1] - pairs.offsets[id];

/** The pairs of a concept, in the dictionary's order. What was not measured is null. */
function pairsOf(pairs, id) {
  const measured = value => (Number.isNaN(value) ? null : value);
  return Array.from({ length: sizeOf(pairs, id) }, (_, offset) => {
    const k = pairs.offsets[id] + offset;
    return {
      id: pairs.id[k],
      name: head.names[pairs.id[k]],
      count: pairs.count[k] === NONE ? null : pairs.count[k],
      frequency: measured(pairs.frequency[k]),
      similarity: measured(pairs.similarity[k]),
      reason: pairs.reason ? head.reasons[pairs.reason[k]] : null,
    };
  });
}

/** Of each concept, the numbers of contrastive concepts that stay, are gained and lost from the first dictionary to the
    second; null if one of them lacks the concept. */
function compareAll([a, b]) {
  const seen = new Int32Array(head.names.length).fill(-1);
  return Array.from({ length: head.concepts }, (_, id) => {
    if (!a.has[id] || !b.has[id]) return null;
    let stays = 0;
    for (let k = a.kept.offsets[id]; k < a.kept.offsets[id + 1]; k++) seen[a.kept.id[k]] = id;
    for (let k = b.kept.offsets[id]; k < b.kept.offsets[id + 1]; k++) if (seen[b.kept.id[k]] === id) stays++;
    return { stays, gained: sizeOf(b.kept, id) - stays, lost: sizeOf(a.kept, id) - stays };
  });
}
