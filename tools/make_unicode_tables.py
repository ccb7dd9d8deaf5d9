"""Write csrc/tokenizers/tables/bert*.inc: what BERT's text preparation does to every code point.

    python tools/make_unicode_tables.py REFERENCE_CLASSES.json

The reference file holds the classes and mappings observed through the tokenizers library, whose
Unicode tables are of other versions than Python's; decompositions are taken from `unicodedata`
where the reference says that both agree, and from the reference where they differ. Which marks BERT
strips and which are sorted is observed here, so the library has to be installed.
"""

import json
import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "csrc/tokenizers/tables/bert.inc"
LIMIT = 0x110000
PAGE = 256
FLAGS = (
    "removed", "to_space", "chinese", "accent", "whitespace", "punctuation", "decomposed", "cased",
)  # fmt: skip


def in_ranges(ranges: list[list[int]]) -> set[int]:
    return {point for first, last in ranges for point in range(first, last + 1)}


def observed(differences: dict[str, list[str]]) -> dict[int, str]:
    """What the library does where Python does something else."""
    return {int(point, 16): library for point, (library, _python) in differences.items()}


def stripped_accents() -> set[int]:
    """Code points that BERT's normalizer drops as accents: non-spacing marks, of an old Unicode."""
    from tokenizers.normalizers import BertNormalizer

    normalizer = BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    points = (p for p in range(0x80, LIMIT) if not 0xD800 <= p < 0xE000)
    return {p for p in points if not normalizer.normalize_str(chr(p))}


def sorted_marks() -> list[int]:
    """Marks that the library puts into canonical order: those of an old Unicode."""
    from tokenizers.normalizers import NFD

    last = "\u0345"  # of the highest class
    marks = (p for p in range(LIMIT) if unicodedata.combining(chr(p)))
    return [p for p in marks if NFD().normalize_str("a" + last + chr(p)).endswith(last)]


def decompositions(reference: dict) -> dict[int, str]:
    """Canonical decompositions but those of Hangul syllables, which are computed."""
    differing = {
        int(key, 16): value[0] for key, value in reference["normalizer_NFD_vs_python"].items()
    }
    table = {}
    for point in range(LIMIT):
        if 0xD800 <= point < 0xE000 or 0xAC00 <= point <= 0xD7A3:
            continue
        text = differing.get(point, unicodedata.normalize("NFD", chr(point)))
        if text != chr(point):
            table[point] = text
    return table


def lowercase(reference: dict) -> dict[int, str]:
    differing = {
        int(key, 16): value[0] for key, value in reference["Lowercase_vs_python_lower"].items()
    }
    table = {}
    for point in range(LIMIT):
        if 0xD800 <= point < 0xE000:
            continue
        text = differing.get(point, chr(point).lower())
        if text != chr(point):
            table[point] = text
    return table


def packed_bits(page: bytes) -> list[int]:
    return [sum(page[8 * i + bit] << bit for bit in range(8)) for i in range(PAGE // 8)]


def write_mapping(out: list[str], name: str, table: dict[int, str]) -> None:
    """Sorted code points, where each mapping begins, and all mapped code points in a row."""
    mapped = [ord(character) for point in sorted(table) for character in table[point]]
    begins = [0]
    for point in sorted(table):
        begins.append(begins[-1] + len(table[point]))
    for suffix, kind, values in (
        ("Points", "uint32_t", sorted(table)), ("Begins", "uint16_t", begins),
        ("Mapped", "uint32_t", mapped),
    ):  # fmt: skip
        out.append(f"inline constexpr {kind} k{name}{suffix}[] = {{")
        out += wrapped(values)
        out.append("};")


def wrapped(values: list[int]) -> list[str]:
    lines, line = [], " "
    for value in values:
        if len(line) + len(str(value)) + 2 > 98:
            lines.append(line)
            line = " "
        line += f" {value},"
    return [*lines, line]


def main(path: str) -> None:
    reference = json.loads(Path(path).read_text(encoding="utf-8"))
    nfd, lower = decompositions(reference), lowercase(reference)
    sets = [
        in_ranges(reference["bert_clean_text"]["removed"]),
        in_ranges(reference["bert_clean_text"]["to_space"]),
        in_ranges(reference["bert_handle_chinese_chars"]["padded"]),
        stripped_accents(),
        in_ranges(reference["bert_pretokenizer"]["whitespace_removed"]),
        in_ranges(reference["bert_pretokenizer"]["punctuation_isolated"]),
        set(nfd) | set(range(0xAC00, 0xD7A4)),
        set(lower),
    ]
    flags = bytearray(LIMIT)
    for bit, points in enumerate(sets):
        for point in points:
            flags[point] |= 1 << bit
    pages: dict[bytes, int] = {}
    index = [
        pages.setdefault(bytes(flags[i : i + PAGE]), len(pages)) for i in range(0, LIMIT, PAGE)
    ]
    word = in_ranges(reference["classes"]["w"]["hf"])
    word_pages: dict[bytes, int] = {}
    word_index = [
        word_pages.setdefault(bytes(p in word for p in range(i, i + PAGE)), len(word_pages))
        for i in range(0, LIMIT, PAGE)
    ]
    head = ["// Written by tools/make_unicode_tables.py; do not edit."]
    names = [name.title().replace("_", "") for name in FLAGS]
    constants = [f"inline constexpr uint8_t k{n} = {1 << bit};" for bit, n in enumerate(names)]
    out = [
        *head,
        f"// Observed through tokenizers {reference['tokenizers']}.",
        "inline constexpr uint8_t kPageOf[] = {", *wrapped(index), "};",
        "inline constexpr uint8_t kPages[][256] = {",
        *(line for page in pages for line in ("{", *wrapped(list(page)), "},")), "};",
        "inline constexpr uint8_t kWordPageOf[] = {", *wrapped(word_index), "};",
        "inline constexpr uint8_t kWordPages[][32] = {",
        *("{" + ", ".join(map(str, packed_bits(page))) + "}," for page in word_pages), "};",
    ]  # fmt: skip
    write_mapping(out, "Decomposed", nfd)
    write_mapping(out, "Lower", lower)
    points = sorted_marks()
    out.append("inline constexpr uint32_t kCombiningPoints[] = {")
    out += [*wrapped(points), "};", "inline constexpr uint8_t kCombiningClass[] = {"]
    out += [*wrapped([unicodedata.combining(chr(p)) for p in points]), "};"]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.with_name("bert_flags.inc").write_text("\n".join(head + constants) + "\n", "ascii")
    TARGET.write_text("\n".join(out) + "\n", encoding="ascii")
    print(f"{TARGET.name}: {len(pages)} pages, {len(nfd)} decompositions, {len(lower)} lowercase")


if __name__ == "__main__":
    main(*sys.argv[1:])
