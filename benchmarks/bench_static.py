"""Static embeddings distilled from an encoder: time to make them, speed, and what is lost.

    python benchmarks/bench_static.py --data SST2_train.tsv --rival-python VENV/bin/python

distills all-MiniLM-L6-v2, embeds every sentence of the file (see sst2.py), tokenizing included, and
compares with the encoder itself: correlation of the cosines of all pairs of the test sentences, and
accuracy of a linear classifier on frozen vectors. VENV holds model2vec with what distilling needs;
without --rival-python only lowbit is measured. Each subject has a process of its own and one
thread; they take turns. Times are those of the processor, which other work on it does not change.
--folder keeps the tables, and does not make again those that are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

HERE = Path(__file__).resolve().parent
TABLES = ("fp32", "fp16", "int8")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
CHECKED = 200  # sentences that are compared with the reference before the clock runs
ALLOWED = {"fp32": 1e-5, "fp16": 1e-5, "int8": 1e-5}  # from the numbers that each table stores


def distill(options: argparse.Namespace) -> None:
    """The subject that makes a table; runs in its own process."""
    from lowbit.models import Encoder, StaticEncoder

    encoder = Encoder.from_pretrained(options.model, pooler=False)
    begin = time.process_time()
    model = StaticEncoder.distill(encoder, options.dim, format=options.table)
    seconds = time.process_time() - begin
    model.save(options.out)
    process.report(seconds=round(seconds, 1), tokens=model.tokenizer.vocab_size)


def embed(options: argparse.Namespace) -> None:
    """The subject that embeds; runs in its own process, and checks itself first."""
    from lowbit.models import Encoder, StaticEncoder

    texts = Path(options.texts).read_text(encoding="utf-8").splitlines()
    model: Any
    if options.table == "encoder":
        model, passes = Encoder.from_pretrained(options.model, pooler=False), 1
    else:
        model, passes = StaticEncoder.from_pretrained(options.folder), options.passes
        check(model, texts[:CHECKED], ALLOWED[options.table])
    model.embed(texts[:64])
    times = []
    for _ in range(passes):
        begin = time.process_time()
        vectors = model.embed(texts)
        times.append(time.process_time() - begin)
    np.save(options.out, vectors)
    speed = round(len(texts) / min(times), 0 if passes > 1 else 1)
    process.report(sentences_per_second=speed, table_mb=round(model.nbytes / 1e6, 1))


def check(model: Any, texts: list[str], allowed: float) -> None:
    """Raise AssertionError unless vectors are those of the reference in double precision."""
    from lowbit.reference.static_embeddings import static_vectors

    ids = [model.tokenizer.encode(text).ids.tolist() for text in texts]
    expected = static_vectors(model.table.table().astype(np.float64), ids, model.unknown_id)
    error = np.abs(model.embed(texts) - expected).max()
    assert error <= allowed, f"error {error:.1e} > {allowed:.0e}"


def linear_accuracy(vectors: np.ndarray, data: sst2.Sst2) -> float:
    """Accuracy on the test sentences of logistic regression on the vectors of the training ones.

    The penalty of the squared weights is the one that does best on the dev sentences.
    """
    x = np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1).astype(np.float64)
    y = data.labels
    best, weights = -1.0, np.zeros(0)
    for penalty in PENALTIES:
        fitted = logistic_regression(x[data.train], y[data.train], penalty)
        accuracy = float(((x[data.dev] @ fitted > 0) == y[data.dev]).mean())
        if accuracy > best:
            best, weights = accuracy, fitted
    return float(((x[data.test] @ weights > 0) == y[data.test]).mean())


def logistic_regression(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Weights by Newton's method; the last column of x, the bias, has no penalty."""
    weights = np.zeros(x.shape[1])
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 1e-9
    for _ in range(12):
        p = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (p - y) + ridge * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def correlations(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Pearson's and Spearman's of the cosines of all pairs of rows."""
    from lowbit.embeddings.word_evaluation import correlation, ranks

    pairs = np.triu_indices(len(a), k=1)
    x, y = ((v @ v.T)[pairs].astype(np.float64) for v in (a, b))
    return correlation(x, y), correlation(ranks(x), ranks(y))


def make_tables(options: argparse.Namespace, folder: Path) -> None:
    """Distill in every format, and with the rival, and print how long that took."""
    rows = []
    inside = ["--inside", "distill", "--model", options.model, "--dim", str(options.dim)]
    for table in TABLES:
        if (folder / table).exists():
            continue
        arguments = [*inside, "--table", table, "--out", str(folder / table)]
        subject = process.Subject(f"lowbit {table}", sys.executable, Path(__file__), arguments)
        figures = subject.run([], threads=1)
        if "error" in figures:
            sys.exit(f"bench_static: {figures['error']}")
        rows.append([subject.name, *shown(figures)])
    if options.rival_python and rows:
        arguments = ["--kind", "distill", "--folder", options.model]
        rival = HERE / "rivals" / "model2vec_static.py"
        subject = process.Subject("model2vec fp16", options.rival_python, rival, arguments)
        figures = subject.run([], threads=1)
        failed = [figures.get("error", "")[:60], "-"]
        rows.append([subject.name, *(failed if "error" in figures else shown(figures))])
    print(f"\n{process.machine()}, one thread, {options.dim} values a token\n", flush=True)
    if rows:
        process.print_table(["distilling", "seconds", "peak memory"], rows)


def shown(figures: dict[str, Any]) -> list[str]:
    """Cells of one subject that distilled."""
    return [f"{figures['seconds']:.1f}", f"{figures['peak_mb']:.0f} MB"]


def subjects(options: argparse.Namespace, folder: Path) -> list[process.Subject]:
    """Who embeds; each leaves its vectors in `folder` under its name."""
    found = []
    texts = ["--texts", str(folder / "texts.txt"), "--passes", str(options.passes)]
    for table in ("encoder", *TABLES):
        arguments = ["--inside", "embed", "--table", table, "--model", options.model, *texts]
        arguments += ["--folder", str(folder / table), "--out", str(folder / f"lowbit {table}.npy")]
        name = f"lowbit {table}"
        found.append(process.Subject(name, sys.executable, Path(__file__), arguments))
    for table in TABLES if options.rival_python else ():
        name = f"model2vec {table}"
        arguments = ["--kind", "embed", "--folder", str(folder / table), *texts]
        arguments += ["--out", str(folder / f"{name}.npy")]
        rival = HERE / "rivals" / "model2vec_static.py"
        found.append(process.Subject(name, options.rival_python, rival, arguments))
    return found


def show(
    names: list[str], results: list[list[dict[str, Any]]], folder: Path, data: sst2.Sst2
) -> None:
    """The table over all rounds."""
    base = np.load(folder / "lowbit encoder.npy")
    rows = []
    for name, rounds in zip(names, results, strict=True):
        if failed := process.failure(name, rounds, 5):
            rows.append(failed)
            continue
        vectors = np.load(folder / f"{name}.npy").astype(np.float32)
        speed = process.median_and_range([figures["sentences_per_second"] for figures in rounds])
        peak = process.peak_memory(rounds)
        both = correlations(base[data.test], vectors[data.test])
        accuracy = f"{linear_accuracy(vectors, data):.3f}"
        rows.append([name, speed, peak, "{:.3f} / {:.3f}".format(*both), accuracy])
    share = np.bincount(data.labels[data.test]).max() / len(data.test)
    print(f"\n{len(data.texts)} sentences; always the most frequent class: {share:.3f}\n")
    columns = ["", "sentences/s", "peak memory", "Pearson / Spearman", "linear accuracy"]
    process.print_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="sentences and labels, see sst2.py")
    parser.add_argument("--model", help="model folder; the installed all-MiniLM-L6-v2 if not given")
    parser.add_argument("--rival-python", help="python of an environment with model2vec")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=5, help="of which the best counts")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--folder", help="keeps the tables (default: a temporary one)")
    for hidden in ("--inside", "--table", "--texts", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        {"distill": distill, "embed": embed}[options.inside](options)
        return
    if not options.data:
        parser.error("--data is needed")
    options.model = process.model_folder(options.model)
    data = sst2.load(options.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(options.folder or name)
        folder.mkdir(exist_ok=True)
        (folder / "texts.txt").write_text("\n".join(data.texts) + "\n", encoding="utf-8")
        make_tables(options, folder)
        found = subjects(options, folder)
        results = process.take_turns(found, [[]] * options.rounds, threads=1)
        show([subject.name for subject in found], results, folder, data)


if __name__ == "__main__":
    main()
