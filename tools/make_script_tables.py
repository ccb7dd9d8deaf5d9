"""Write csrc/tokenizers/tables/scripts.inc: where the step UnicodeScripts cuts texts.

    python tools/make_script_tables.py

Code points are of one class when the tokenizers library does not cut between them, so that scripts
have numbers in the order they are met, without names; kana are of one class with Han there. What is
of no script joins the text before it. Needs tokenizers.
"""

from make_grapheme_tables import write_starts

POINTS = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]


def observe() -> list[int]:
    """The class of every code point, 0 for no script."""
    from tokenizers.pre_tokenizers import UnicodeScripts

    pieces = UnicodeScripts().pre_tokenize_str
    classes = [0] * 0x110000
    known: list[str] = []  # one code point of each class
    number = 0  # of the code point before
    for point in POINTS:
        character = chr(point)
        if not pieces(character):
            continue
        if not number or len(pieces(known[number - 1] + character)) > 1:
            same = [i for i, other in enumerate(known) if len(pieces(other + character)) == 1]
            if len(same) > 1:
                raise SystemExit(f"U+{point:04X} is of two scripts")
            if not same:
                known.append(character)
            number = same[0] + 1 if same else len(known)
        classes[point] = number
    return classes


def main() -> None:
    classes = observe()
    if max(classes) > 255:
        raise SystemExit("more scripts than a byte can number")
    write_starts("scripts", "kScriptStarts", classes, __file__)


if __name__ == "__main__":
    main()
