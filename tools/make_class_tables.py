"""Write csrc/tokenizers/tables/classes.inc: the Unicode classes that regular expressions name.

    python tools/make_class_tables.py REFERENCE_CLASSES.json

The reference file holds the classes as observed through the tokenizers library, whose Unicode
tables are of another version than Python's; nothing is taken from `unicodedata`.
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "csrc/tokenizers/tables/classes.inc"
LIMIT = 0x110000
LEAF = 64  # code points that differ in the last byte of their UTF-8 form only

# Bits of a class set, as csrc/tokenizers/classes.hpp names them; the first eight are those that the
# hand-written scanners look at.
BITS = (
    "L", "N", "s", "M", "Lu|Lt", "Ll", "P|S", "Han", "Lu", "Lt", "Lm", "Lo", "P", "S", "Nd", "w",
    "numeric",
)  # fmt: skip


def members(reference: dict, name: str) -> set[int]:
    """The code points of a class, or of the union of classes that `|` joins."""
    if "|" in name:
        return set().union(*(members(reference, part) for part in name.split("|")))
    ranges = reference["Digits"] if name == "numeric" else reference["classes"][name]["hf"]
    return {point for first, last in ranges for point in range(first, last + 1)}


def lines(values: list[int], width: int = 100) -> str:
    """Comma-separated values, broken into lines."""
    rows, row = [], " "
    for value in values:
        if len(row) + len(str(value)) + 2 > width:
            rows.append(row)
            row = " "
        row += f" {value},"
    return "\n".join([*rows, row])


def array(kind: str, name: str, values: list[int]) -> str:
    return f"constexpr {kind} {name}[{len(values)}] = {{\n{lines(values)}\n}};\n"


def main() -> None:
    reference = json.loads(Path(sys.argv[1]).read_text())
    if members(reference, "d") != members(reference, "Nd"):
        sys.exit("\\d is no longer the same as \\p{Nd}: give it a bit of its own")
    bits = [0] * LIMIT
    for bit, name in enumerate(BITS):
        for point in members(reference, name):
            bits[point] |= 1 << bit
    sets = sorted(set(bits))
    index = {value: i for i, value in enumerate(sets)}
    leaves: dict[tuple[int, ...], int] = {}
    pages = [
        leaves.setdefault(tuple(index[b] for b in bits[start : start + LEAF]), len(leaves))
        for start in range(0, LIMIT, LEAF)
    ]
    head = (
        "// Written by tools/make_class_tables.py; do not edit.\n"
        f"// Observed through tokenizers {reference['tokenizers']}.\n"
    )
    TARGET.write_text(
        head
        + array("uint16_t", "kClassPages", pages)
        + array("uint8_t", "kClassLeaves", [i for leaf in leaves for i in leaf])
        + array("uint32_t", "kClassSets", sets)
    )
    print(f"{TARGET}: {len(leaves)} leaves, {len(sets)} sets")


if __name__ == "__main__":
    main()
