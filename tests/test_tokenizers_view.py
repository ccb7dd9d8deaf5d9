"""Tokens to look at: every byte of a text is in one piece, and none of it commands a screen."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import Tokenizer
from lowbit.tokenizers.pieces import Names, Piece, text_pieces, token_parts
from lowbit.tokenizers.screen import ASCII_MARKS, Marks, color_count, marks_of, printable
from lowbit.tokenizers.view import SHOWN, Counts, TokenView, html_text, terminal_text

BYTES = Tokenizer.train(["low lower lowest caf\u00e9"], model="bpe", vocab_size=270)
HOSTILE = "a\x1b[31m\x9b2J\u202eb\x07\r\x00\u2028\u200d\x1b]0;title\x07<b>&amp;\"'</b>"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def pieces_of(tokenizer: Tokenizer, text: str) -> list[Piece]:
    return text_pieces(tokenizer.encode(text), text, Names.of(tokenizer.spec))


class Document(HTMLParser):
    """The text of a page and its titles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.titles, self.tags = "", [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.text += data


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_pieces_of_byte_level_tokens_have_every_byte_once(text):
    joined = b""
    pieces = pieces_of(BYTES, text)
    for piece in pieces:
        for part in piece.parts:
            joined += part if isinstance(part, bytes) else part.encode()
    assert joined == text.encode()
    assert [p.id for p in pieces] == BYTES.encode(text).ids.tolist()


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("bert-base-uncased/tokenizer.json", "[CLS]|hi  \u6211|\U0001f600|[SEP]"),
        ("gpt2/tokenizer.json", "hi|_|_\\xe6|\\x88|\\x91"),
        ("cl100k/cl100k_base.tiktoken", "hi|_|_\\xe6\\x88|\\x91"),
        ("llama2/tokenizer.json", "<s>|hi|__|\u6211|\\xf0|\\x9f|\\x98|\\x80"),
        ("llama2/tokenizer.model", "<s>|hi|__|\u6211|\\xf0|\\x9f|\\x98|\\x80"),
        ("t5-nai/nai-t5.model", "hi|__|\u6211\U0001f600"),
    ],
)
def test_real_tokenizers(shared_data, file, shown):
    tokenizer = Tokenizer.from_file(shared_data / "tokenizers" / file)
    text = "hi  \u6211\U0001f600"
    line = terminal_text(pieces_of(tokenizer, text), 0, ASCII_MARKS)
    assert line.startswith(shown)


@pytest.mark.parametrize("name", ["bert-base-uncased", "gpt2", "dolma2", "llama2", "xlnet"])
def test_pieces_of_real_texts_are_in_order_and_leave_nothing_out(shared_data, name):
    tokenizer = Tokenizer.from_file(shared_data / "tokenizers" / name / "tokenizer.json")
    for text in json.loads((shared_data / "corpora" / "samples_a.json").read_text("utf-8")):
        encoding = tokenizer.encode(text)
        pieces = text_pieces(encoding, text, Names.of(tokenizer.spec))
        assert [p.id for p in pieces if p.kind != "gap"] == encoding.ids.tolist()
        covered = [False] * len(text)
        for piece in pieces:
            covered[piece.begin : piece.end] = [True] * (piece.end - piece.begin)
        assert all(covered), text


def test_kinds():
    tokenizer = Tokenizer.train(
        ["low bit"], model="wordpiece", special_tokens=["[UNK]", "[CLS]", "[SEP]"]
    )
    kinds = [(p.kind, *p.parts) for p in pieces_of(tokenizer, "low, [SEP] bit")]
    assert kinds == [
        ("special", "[CLS]"),
        ("token", "low"),
        ("unknown", ","),
        ("gap", " "),
        ("special", "[SEP]"),
        ("gap", " "),
        ("token", "bit"),
        ("special", "[SEP]"),
    ]


def test_tokens_without_a_text():
    assert token_parts(BYTES.spec, "\u0120\u00c3") == (" ", b"\xc3")
    pieces = Tokenizer.train(["a b"], model="unigram", vocab_size=6)
    assert token_parts(pieces.spec, "\u2581a") == (" a",)


@pytest.mark.parametrize("colors", [0, 16, 256, 1 << 24])
def test_no_text_commands_a_terminal(colors):
    for tokenizer in (BYTES, Tokenizer.train([HOSTILE], model="character")):
        for text in (HOSTILE, "x" + HOSTILE * 2):
            shown = terminal_text(pieces_of(tokenizer, text), colors, Marks())
            plain = SGR.sub("", shown) if colors else shown
            assert all(c.isprintable() or c == "\n" for c in plain)
            assert "\\x1b" in plain and "x9b" in plain


def test_no_text_is_markup():
    document = Document(BYTES.show(HOSTILE)._repr_html_())
    assert document.tags == {"div", "span"}
    assert "<b>&amp;" in document.text
    assert all(c.isprintable() or c == "\n" for c in document.text)


def test_the_notebook_has_ids_and_places():
    document = Document(BYTES.show("low caf\u00e9")._repr_html_())
    ids = BYTES.encode("low caf\u00e9").ids.tolist()
    assert document.titles[0] == f"id {ids[0]}, characters 0 to 3"
    assert [int(title.split(",")[0][3:]) for title in document.titles] == ids
    assert document.text.startswith("low\u00b7") and "bytes per token" in document.text
    # Of an encoding alone, the tokens as the vocabulary writes them.
    alone = Document(BYTES.encode("low caf\u00e9")._repr_html_())
    assert alone.titles == document.titles and alone.text.startswith("low\u0120")


def test_a_long_text_is_cut_on_the_page():
    view = BYTES.show("!" * (SHOWN + 3))
    assert len(Document(view._repr_html_()).titles) == SHOWN
    assert "... 3 more tokens" in repr(view) and "... 3 more tokens" in view._repr_html_()


def test_colours_change_from_token_to_token_and_stop_at_line_breaks():
    pieces = pieces_of(BYTES, "low\nlow")
    assert terminal_text(pieces, 16, Marks()) == (
        "\x1b[30;46mlow\x1b[0m\x1b[30;43m\x1b[2m\u23ce\x1b[22m\x1b[0m\n\x1b[30;45mlow\x1b[0m"
    )
    assert terminal_text(pieces[:1], 256, Marks(), first=1) == "\x1b[38;5;16;48;5;223mlow\x1b[0m"
    special = [Piece("special", ("[CLS]",)), Piece("unknown", ("?",)), Piece("gap", (" ",))]
    assert terminal_text(special, 1 << 24, Marks()) == (
        "\x1b[1;38;2;255;255;255;48;2;90;90;90m[CLS]\x1b[0m"
        "\x1b[1;38;2;255;255;255;48;2;200;40;40m?\x1b[0m "
    )


@pytest.mark.parametrize(
    ("environment", "wanted", "count"),
    [
        ({"TERM": "xterm"}, "auto", 16),
        ({"TERM": "xterm-256color"}, "auto", 256),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "auto", 1 << 24),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "auto", 0),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "auto", 256),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "always", 256),
        ({"TERM": "dumb"}, "auto", 0),
        ({"TERM": "xterm"}, "never", 0),
    ],
)
def test_colours_of_terminals(monkeypatch, environment, wanted, count):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name in ("TERM", "COLORTERM", "NO_COLOR", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert color_count(Terminal(), wanted) == count
    assert color_count(io.StringIO(), "auto") == 0


def test_marks_are_those_that_a_stream_has():
    assert marks_of(io.TextIOWrapper(io.BytesIO(), "utf-8")) == Marks()
    assert marks_of(io.TextIOWrapper(io.BytesIO(), "ascii")) == ASCII_MARKS
    assert printable("\u0301a", Marks())[0][0] == "\u25cc\u0301a"
    assert printable("", Marks()) == []


def test_counts():
    total = Counts.of("low  bit\n", 4, 1) + Counts.of("caf\u00e9", 2, 0)
    assert total == Counts(tokens=6, bytes=14, characters=13, words=3, unknown=1)
    assert (total.tokens_per_word, total.bytes_per_token) == (2.0, 14 / 6)
    empty = Counts.of("", 0, 0)
    assert empty.tokens_per_word is None and empty.bytes_per_token is None
    assert str(empty) == "0 tokens, 0 bytes, 0 characters, 0 unknown"


def test_an_empty_text_has_a_view():
    view = BYTES.show("")
    assert isinstance(view, TokenView) and repr(view) == ""
    assert Document(html_text([])).text == ""
