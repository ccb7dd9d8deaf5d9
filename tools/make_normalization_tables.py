"""Write csrc/tokenizers/tables/normalization.inc: what the Unicode normal forms do.

    python tools/make_normalization_tables.py REFERENCE_CLASSES.json

The tokenizers library has tables of its own, older than Python's; REFERENCE_CLASSES.json says where
the two differ, and there the library's are taken. Canonical decompositions and combining classes
are in bert.inc.
"""

import json
import sys
import unicodedata
from pathlib import Path

from make_unicode_tables import (
    LIMIT,
    PAGE,
    decompositions,
    in_ranges,
    observed,
    wrapped,
    write_mapping,
)

TARGET = Path(__file__).resolve().parent.parent / "csrc/tokenizers/tables/normalization.inc"
HANGUL = range(0xAC00, 0xD7A4)
JAMO = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))  # vowels and finals join what is before
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def points() -> list[int]:
    return [p for p in range(LIMIT) if not 0xD800 <= p < 0xE000]


def compatibility(reference: dict, nfd: dict[int, str]) -> dict[int, str]:
    """Compatibility decompositions that differ from the canonical ones."""
    differing = observed(reference["normalizer_NFKD_vs_python"])
    table = {}
    for point in points():
        if point in HANGUL:
            continue
        text = differing.get(point, unicodedata.normalize("NFKD", chr(point)))
        if text != nfd.get(point, chr(point)):
            table[point] = text
    return table


def compositions() -> dict[tuple[int, int], int]:
    """Pairs that become one code point; syllables of Hangul are computed."""
    pairs = {}
    for point in points():
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) != 2 or parts[0].startswith("<"):
            continue
        first, second = (int(part, 16) for part in parts)
        if unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(point):
            pairs[first, second] = point
    return pairs


def unstable(form: str, pairs: dict, nfd: dict[int, str], nfkd: dict[int, str]) -> set[int]:
    """Code points that a form may change or move, alone or behind others."""
    found = {p for p in points() if unicodedata.combining(chr(p))}
    decomposed = {**nfd, **(nfkd if form.startswith("NFK") else {})}
    if form.endswith("D"):
        return found | set(decomposed) | set(HANGUL)
    found |= {second for _, second in pairs} | set(JAMO)
    whole = set(pairs.values())
    return found | {p for p in decomposed if p not in whole or p in nfkd}


def write_pairs(out: list[str], pairs: dict[tuple[int, int], int]) -> None:
    out.append("inline constexpr uint64_t kPairs[] = {  // first << 32 | second, sorted")
    out += wrapped([first << 32 | second for first, second in sorted(pairs)])
    out += ["};", "inline constexpr uint32_t kComposed[] = {"]
    out += [*wrapped([pairs[pair] for pair in sorted(pairs)]), "};"]


def main(path: str) -> None:
    reference = json.loads(Path(path).read_text(encoding="utf-8"))
    if reference["normalizer_NFC_vs_python"]:
        raise SystemExit("the reference composes differently; this tool does not know how")
    nfd = decompositions(reference)
    nfkd, pairs = compatibility(reference, nfd), compositions()
    flags = bytearray(LIMIT)
    for bit, form in enumerate(FORMS):
        for point in unstable(form, pairs, nfd, nfkd if form.startswith("NFK") else {}):
            flags[point] |= 1 << bit
    for point in in_ranges(reference["StripAccents_removed"]):
        flags[point] |= 1 << len(FORMS)
    pages: dict[bytes, int] = {}
    index = [
        pages.setdefault(bytes(flags[i : i + PAGE]), len(pages)) for i in range(0, LIMIT, PAGE)
    ]
    out = [
        "// Written by tools/make_normalization_tables.py; do not edit.",
        f"// As tokenizers {reference['tokenizers']} has them. Bits of a code point that may be",
        f"// changed or moved: {', '.join(FORMS)}, from the lowest; then whether it is a mark that",
        "// StripAccents drops.",
        "inline constexpr uint8_t kUnstablePageOf[] = {", *wrapped(index), "};",
        "inline constexpr uint8_t kUnstablePages[][256] = {",
        *(line for page in pages for line in ("{", *wrapped(list(page)), "},")), "};",
    ]  # fmt: skip
    write_mapping(out, "Compatible", nfkd)
    write_pairs(out, pairs)
    TARGET.write_text("\n".join(out) + "\n", encoding="ascii")
    print(f"{TARGET.name}: {len(pages)} pages, {len(nfkd)} mappings, {len(pairs)} pairs")


if __name__ == "__main__":
    main(*sys.argv[1:])
