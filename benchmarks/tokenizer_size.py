"""One tokenizer in a process of its own: how long it loads, the memory it takes, its pickle.

    python benchmarks/tokenizer_size.py LIBRARY FILE TEXT

A subject of bench_tokenizers.py --sizes. Memory is what the process has of its own (RssAnon) beyond
what it had with the library imported and the text read; the time is that of loading once more.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import process
from rivals.tokenizers import RIVALS


def anonymous_bytes() -> int:
    """Memory that no file backs, in bytes; Linux only."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon")


def maker_of(library: str) -> Callable[[Path], Any]:
    if library != "lowbit":
        return {rival.name: rival for rival in RIVALS}[library]
    import lowbit as lb

    lb.set_num_threads(1)
    return lb.Tokenizer.from_file


def main() -> None:
    library, path, corpus = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    make = maker_of(library)
    text = corpus.read_text("utf-8")
    texts = [text[i : i + 4000] for i in range(0, len(text), 4000)]
    before = anonymous_bytes()
    tokenizer = make(path)
    loaded = anonymous_bytes()
    if library == "lowbit":
        tokenizer.encode_batch(texts)
    else:
        tokenizer.encode(texts)
    used = anonymous_bytes()
    begin = time.perf_counter()
    make(path)
    load = time.perf_counter() - begin
    figures: dict[str, Any] = {
        "load_ms": round(load * 1e3, 1),
        "loaded_mb": round((loaded - before) / 1e6, 1),
        "used_mb": round((used - before) / 1e6, 1),
    }
    try:
        data = pickle.dumps(tokenizer if library == "lowbit" else tokenizer._tokenizer)
        begin = time.perf_counter()
        pickle.loads(data)
        figures["unpickle_ms"] = round((time.perf_counter() - begin) * 1e3, 1)
        figures["pickle_mb"] = round(len(data) / 1e6, 2)
    except Exception as error:
        figures["pickle_error"] = type(error).__name__
    process.report(**figures)


if __name__ == "__main__":
    main()
