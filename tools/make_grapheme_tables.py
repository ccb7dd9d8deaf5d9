"""Write csrc/tokenizers/tables/graphemes.inc: where the tokenizers library sees grapheme clusters.

    python tools/make_grapheme_tables.py

The classes are those of Unicode Standard Annex 29, but of the library's own Unicode version, so
they are observed through it. A charsmap that turns every character into Z makes them visible: a
cluster of less than 6 bytes becomes one Z, the characters of a longer one become a Z each. Needs
tokenizers, and sentencepiece to build the charsmap.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

TABLES = Path(__file__).resolve().parent.parent / "csrc/tokenizers/tables"
POINTS = [p for p in range(1, 0x110000) if not 0xD800 <= p < 0xE000 and p != ord("Z")]
CLASSES = (
    "other", "control", "carriage_return", "line_feed", "prepend", "spacing_mark", "extend",
    "extend_conjunct", "linker", "joiner", "pictograph", "consonant", "hangul_l", "hangul_v",
    "hangul_t", "hangul_lv", "hangul_lvt",
)  # fmt: skip
ACUTE = "\u0301"  # extends, two bytes
KA, QA, VIRAMA = "\u0915", "\u0958", "\u094d"
L, V, T = "\u1100", "\u1161", "\u11a8"


def charsmap() -> bytes:
    """Every character becomes Z."""
    import sentencepiece

    from lowbit.files.sentencepiece_model import read_sentencepiece_model

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.tsv")
        rules.write_text("".join(f"{point:X}\t5A\n" for point in POINTS), "ascii")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["Z ZZ"] * 100), model_prefix=f"{folder}/z", vocab_size=5,
            hard_vocab_limit=False, model_type="char", normalization_rule_tsv=str(rules),
            minloglevel=2,
        )  # fmt: skip
        return read_sentencepiece_model(f"{folder}/z.model").normalizer.charsmap


def observe(normalize: Callable[[str], str]) -> dict[str, set[int]]:
    """The code points of each class; classes that cannot be told apart follow from Unicode."""

    def where(before: str, after: str, result: int) -> set[int]:
        return {p for p in POINTS if normalize(before + chr(p) + after) == "Z" * result}

    found: dict[str, set[int]] = {}
    joins = where("a", "", 1)
    found["prepend"] = where("", "a", 1)
    found["control"] = where("", ACUTE + "\u0302", 2)
    pictograph = where("", "\u200d\u00a9" + ACUTE, 4) - found["prepend"]
    # Only what extends may stand between two pictographs and their joiner.
    extend = (where("\u00a9", "\u200d\u00a9" + ACUTE, 5) & joins) - pictograph
    found["spacing_mark"] = joins - extend - {0x200D}
    found["consonant"] = where("", VIRAMA + QA + ACUTE, 4) - found["prepend"]
    found["linker"] = where(KA, QA + ACUTE, 4) & extend
    conjunct = where(KA + VIRAMA, QA + ACUTE, 5) & extend
    found["extend_conjunct"] = conjunct - found["linker"]
    found["extend"] = extend - conjunct - found["linker"]
    found["pictograph"] = pictograph
    syllables = set(range(0xAC00, 0xD7A4))
    # What may follow; a code point of four bytes shows by what may follow it.
    others = joins | syllables | found["control"] | found["prepend"]
    short = {p for p in POINTS if p < 0x10000} - others
    long = {p for p in POINTS if p >= 0x10000} - others
    after_l, after_v = where(L, ACUTE, 3) & short, where(V, ACUTE, 3) & short
    found["hangul_v"] = (after_l & after_v) | (where("", T + ACUTE, 3) & long)
    found["hangul_l"] = after_l - after_v
    found["hangul_t"] = after_v - after_l
    found["hangul_lv"] = set(range(0xAC00, 0xD7A4, 28))
    found["hangul_lvt"] = syllables - found["hangul_lv"]
    found["joiner"] = {0x200D}
    found["carriage_return"], found["line_feed"] = {0x0D}, {0x0A}
    found["control"] -= {0x0D, 0x0A}
    found["control"].add(0)
    return found


def starts(classes: list[int]) -> Iterator[int]:
    """Where a class begins: the code point, and the class in the lowest byte."""
    previous = -1
    for point, kind in enumerate(classes):
        if kind != previous:
            yield point << 8 | kind
        previous = kind


def write_starts(table: str, name: str, classes: list[int], tool: str) -> None:
    from tokenizers import __version__

    lines, line = [], " "
    for value in starts(classes):
        if len(line) + len(str(value)) + 2 > 98:
            lines.append(line)
            line = " "
        line += f" {value},"
    head = [
        f"// Written by tools/{Path(tool).name}; do not edit.",
        f"// Observed through tokenizers {__version__}.",
        "// Where a class begins: code point << 8 | class.",
        f"inline constexpr uint32_t {name}[] = {{",
    ]
    target = TABLES / f"{table}.inc"
    target.write_text("\n".join([*head, *lines, line, "};"]) + "\n", "ascii")
    print(f"{target}: {sum(1 for _ in starts(classes))} ranges")


def main() -> None:
    from tokenizers.normalizers import Precompiled

    classes = [0] * 0x110000
    for name, points in observe(Precompiled(charsmap()).normalize_str).items():
        for point in points:
            if classes[point]:
                raise SystemExit(f"U+{point:04X} is of two classes")
            # Syllables are told apart by arithmetic.
            classes[point] = CLASSES.index("hangul_lv" if name == "hangul_lvt" else name)
    write_starts("graphemes", "kGraphemeStarts", classes, __file__)
    counts = {name: classes.count(number) for number, name in enumerate(CLASSES)}
    print(counts)


if __name__ == "__main__":
    main()
