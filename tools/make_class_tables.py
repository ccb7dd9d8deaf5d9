"""Write csrc/tokenizers/tables/classes.inc: the character classes of regular expressions.

    python tools/make_class_tables.py REFERENCE_CLASSES.json

The file holds the classes as the tokenizers library and tiktoken see them, whose Unicode tables are
newer than Python's.
"""

import json
import sys
from pathlib import Path

from make_unicode_tables import LIMIT, PAGE, in_ranges, wrapped

TARGET = Path(__file__).resolve().parent.parent / "csrc/tokenizers/tables/classes.inc"
CLASSES = ("L", "N", "P", "S", "M", "Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "s", "w", "Han")


def main(path: str) -> None:
    reference = json.loads(Path(path).read_text(encoding="utf-8"))
    points = [0] * LIMIT
    for bit, name in enumerate(CLASSES):
        for point in in_ranges(reference["classes"][name]["hf"]):
            points[point] |= 1 << bit
    for point in in_ranges(reference["Digits"]):
        points[point] |= 1 << len(CLASSES)
    kinds = sorted(set(points))
    number = {kind: i for i, kind in enumerate(kinds)}
    pages: dict[tuple[int, ...], int] = {}
    index = [
        pages.setdefault(tuple(number[kind] for kind in points[i : i + PAGE]), len(pages))
        for i in range(0, LIMIT, PAGE)
    ]
    names = [f"k{name}" for name in CLASSES] + ["kNumeric"]
    names[CLASSES.index("s")] = "kSpace"
    names[CLASSES.index("w")] = "kWord"
    out = [
        "// Written by tools/make_class_tables.py; do not edit.",
        "// As they are in",
        f"// tokenizers {reference['tokenizers']} and tiktoken {reference['tiktoken']}.",
        *(f"inline constexpr uint16_t {name} = {1 << bit};" for bit, name in enumerate(names)),
        "inline constexpr uint16_t kClassKinds[] = {", *wrapped(kinds), "};",
        "inline constexpr uint8_t kClassPageOf[] = {", *wrapped(index), "};",
        "inline constexpr uint8_t kClassPages[][256] = {",
        *(line for page in pages for line in ("{", *wrapped(list(page)), "},")), "};",
    ]  # fmt: skip
    TARGET.write_text("\n".join(out) + "\n", encoding="ascii")
    print(f"{TARGET.name}: {len(kinds)} kinds, {len(pages)} pages")


if __name__ == "__main__":
    main(*sys.argv[1:])
