"""Options, progress and the two streams of the command line."""

from __future__ import annotations

import io
import json

import pytest

from lowbit.cli.arguments import make_parser
from lowbit.cli.console import Console, Progress, clip, columns, one_line, table
from lowbit.cli.measurements import peak_memory


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_on_a_terminal_draws_one_line_and_clears_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    stream, clock = Terminal(), Clock()
    with Progress("training", stream, clock=clock) as bar:
        for step in range(1, 11):
            clock.now += 0.5
            bar.update(step, 20, f"loss {1 / step:.2f}")
    frames = stream.getvalue().split("\r")
    assert len(frames) == 12 and frames[-1] == "\x1b[K"
    assert "\n" not in stream.getvalue()
    last = frames[-2].removesuffix("\x1b[K")
    assert last == f"training {'━' * 12}{'─' * 12} 10/20  loss 0.10  5 s left"


def test_progress_on_a_terminal_is_drawn_ten_times_a_second_at_most():
    stream, clock = Terminal(), Clock()
    bar = Progress("training", stream, clock=clock)
    for step in range(1, 1001):
        clock.now += 0.001
        bar.update(step, 1000)
    assert 9 <= stream.getvalue().count("\r") <= 12
    assert "1000/1000" in stream.getvalue()


def test_progress_fits_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream, clock = Terminal(), Clock()
    clock.now += 1
    Progress("training", stream, clock=lambda: clock.now).update(1, 1, "x" * 80)
    assert len(stream.getvalue().removeprefix("\r").removesuffix("\x1b[K")) == 29


def test_progress_without_a_terminal_writes_a_line_now_and_then():
    stream, clock = io.StringIO(), Clock()
    bar = Progress("training", stream, clock=clock)
    for step in range(1, 13):
        clock.now += 1
        bar.update(step, 60, "loss 0.50")
    assert stream.getvalue().splitlines() == [
        "training: 5 of 60, loss 0.50, 55 s left",
        "training: 10 of 60, loss 0.50, 50 s left",
    ]


def test_progress_in_ascii_where_the_terminal_has_nothing_else(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    stream.encoding = "ascii"
    clock = Clock()
    bar = Progress("training", stream, clock=clock)
    clock.now += 1
    bar.update(1, 2)
    assert f"{'#' * 12}{'.' * 12} 1/2" in stream.getvalue()


def test_quiet_shows_no_progress_and_no_narration():
    out, err = Terminal(), Terminal()
    console = Console(quiet=True, out=out, err=err)
    console.heading("Part")
    console.say("story")
    with console.progress("work") as bar:
        bar.update(1, 1)
    console.result("figures")
    assert (out.getvalue(), err.getvalue()) == ("figures\n", "")


def test_json_keeps_standard_output_for_the_document():
    out, err = io.StringIO(), io.StringIO()
    console = Console(json=True, out=out, err=err)
    console.say("story")
    console.result("figures")
    console.document({"accuracy": 0.5, "name": "Füße"})
    assert json.loads(out.getvalue()) == {"accuracy": 0.5, "name": "Füße"}
    assert err.getvalue() == "story\nfigures\n"


def test_line_on_a_terminal_replaces_the_bar():
    out, err = Terminal(), Terminal()
    console = Console(out=out, err=err)
    bar = console.progress("work")
    bar.update(1, 1)
    console.say("epoch 1")
    assert err.getvalue().endswith("\r\x1b[K") and out.getvalue() == "epoch 1\n"


def test_text_that_the_stream_cannot_encode_is_escaped_not_lost():
    raw = io.BytesIO()
    console = Console(out=io.TextIOWrapper(raw, "ascii"))
    console.say("naïve 日本")
    assert raw.getvalue().decode() == "na\\xefve \\u65e5\\u672c\n"


def test_one_line_disarms_what_a_file_may_hold():
    assert one_line("a\n\tb\x1b[2Jc\u202ed") == "a b\\x1b[2Jc\\u202ed"
    assert len(one_line("x" * 9000)) == 2000


def test_clip_and_tables():
    assert clip("one two three four", 12) == "one two ..."
    assert table([("a", "1"), ("", "2")]) == "  a  1\n     2"
    assert columns([["a", "bb"], ["111", "2"]], indent=0) == "a    bb\n111  2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND; see lowbit --help"),
        (["demo", "--rank", "0"], "demo: argument --rank: must be a whole number from 1 to 1024"),
        (["demo", "--lr", "0"], "demo: argument --lr: must be a number above 0"),
        (["demo", "--lr", "nan"], "demo: argument --lr: must be a number above 0"),
        (["demo", "--epochs", "x"], "demo: argument --epochs: must be a whole number from 1"),
        (["demo", "--format", "nf5"], "demo: argument --format: invalid choice: 'nf5'"),
        (["demo", "--threads", "2000"], "demo: argument --threads: must be a whole number"),
        (["finetune"], "finetune: the following arguments are required: --data"),
        (["finetune", "--data", "a", "--test-share", "1"], "must be a number from 0 to 0.9"),
        (["embed"], "embed: the following arguments are required: FILE"),
        (["tune"], "argument COMMAND: invalid choice: 'tune'"),
    ],
)
def test_wrong_option_is_one_line_and_exit_code_2(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args(words)
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and shown.out == ""
    assert shown.err.startswith("lowbit: error: ") and message in shown.err
    assert shown.err.count("\n") == 1


def test_eval_data_and_test_share_exclude_each_other(capsys):
    words = ["finetune", "--data", "a.tsv", "--eval-data", "b.tsv", "--test-share", "0.3"]
    with pytest.raises(SystemExit):
        make_parser().parse_args(words)
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "finetune", "embed", "doctor"])
def test_help_of_every_command_has_the_options_for_programs(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        make_parser().parse_args([command, "--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert {"--json", "--quiet", "--threads"} <= set(shown.replace(",", " ").split())


def test_peak_memory_grows_with_what_is_used():
    before = peak_memory()
    block = bytearray(b"x") * 300_000_000
    assert peak_memory() - before > 100_000_000 or before > len(block)
    assert before > 10_000_000
