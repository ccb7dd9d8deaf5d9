"""The commands themselves, run on a tiny model and, where it is installed, on the real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiny_model
from lowbit.cli import main
from lowbit.data import load_reviews
from lowbit.files import find_bundled_model
from lowbit.models import Classifier, Encoder
from tiny_model import write_tiny_model

GOLDEN = Path(__file__).resolve().parent / "data" / "tiny_bert"
LEARN = ["--lr", "0.005", "--batch-size", "8", "--epochs", "8"]  # enough for the tiny model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A BERT folder of random weights that knows a few words."""
    return write_tiny_model(tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Path:
    """320 texts whose class a few words give away."""
    texts, labels = tiny_model.reviews(320)
    rows = [f"{text}\t{('bad', 'good')[label]}" for text, label in zip(texts, labels, strict=True)]
    path = tmp_path_factory.mktemp("data") / "reviews.tsv"
    path.write_text("\n".join(["review\tsentiment", *rows]) + "\n")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_demo_shows_every_step_and_leaves_the_results(model, reviews, here, capsys):
    words = ["demo", "--model", str(model), "--data", str(reviews), *LEARN]
    code = main(words)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "warning" not in shown.err
    for part in (
        "Text to tokens",
        "[CLS]",
        "Text to vectors",
        "untrained head: accuracy",
        "epoch 8: training loss",
        "the same probabilities, bit for bit",
        "examples/s",
        "sentences/s",
        "peak memory",
        "kernels on",
    ):
        assert part in shown.out
    report = json.loads((here / "lowbit-demo" / "report.json").read_text())
    data = report["data"]
    assert (data["train"], data["test"], data["labels"]) == (256, 64, ["bad", "good"])
    assert 0.5 <= data["majority_share"] < 0.7
    assert report["training"]["accuracy"]["after"] >= 0.9
    assert report["training"]["steps"] == len(report["training"]["curves"]["loss"]) == 256
    assert report["adapter"]["same_predictions_after_reload"] is True
    assert report["model"]["bytes"] < report["model"]["bytes_float32"]
    config = json.loads((here / "lowbit-demo" / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["r"] == 8 and config["lora_alpha"] == 16


def test_demo_json_is_the_report_alone(model, reviews, here, capsys):
    words = ["demo", "--model", str(model), "--data", str(reviews), "--steps", "2", "--out", "x"]
    assert main([*words, "--json", "--no-plot", "--seed", "3"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((here / "x" / "report.json").read_text())
    assert "Text to tokens" in shown.err
    assert not (here / "x" / "curves.png").exists()


def test_demo_is_the_same_run_for_the_same_seed_on_any_number_of_threads(
    model, reviews, here, capsys
):
    losses = []
    for threads in ("1", "2"):
        words = ["demo", "--model", str(model), "--data", str(reviews), "--steps", "4"]
        assert main([*words, "--threads", threads, "--no-plot", "--quiet"]) == 0
        report = json.loads((here / "lowbit-demo" / "report.json").read_text())
        assert report["machine"]["threads"] == int(threads)
        losses.append(report["training"]["curves"]["loss"])
    assert losses[0] == losses[1]


def test_picture_is_drawn_where_matplotlib_is(model, reviews, here, capsys):
    pytest.importorskip("matplotlib", exc_type=ImportError)
    words = ["finetune", "--model", str(model), "--data", str(reviews), "--steps", "3"]
    assert main(words) == 0
    picture = (here / "lowbit-finetuned" / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_missing_matplotlib_is_said_and_harms_nothing(model, reviews, here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = ["finetune", "--model", str(model), "--data", str(reviews), "--steps", "3"]
    assert main(words) == 0
    assert "matplotlib is missing; pip install matplotlib" in capsys.readouterr().err
    assert (here / "lowbit-finetuned" / "adapter" / "adapter_model.safetensors").is_file()


def test_finetune_saves_an_adapter_that_loads(model, reviews, here, capsys):
    words = ["finetune", "--data", str(reviews), "--model", str(model), *LEARN]
    assert main([*words, "--out", "mine", "--no-plot"]) == 0
    classifier = Classifier.from_pretrained(model, adapter=here / "mine" / "adapter")
    assert classifier.label_names == ["bad", "good"]
    assert classifier.predict(["the film was awful", "the room was great, and clean"]).tolist() == [
        0,
        1,
    ]


def test_finetune_evaluates_on_a_file_of_its_own(model, reviews, here, capsys):
    other = here / "other.jsonl"
    rows = [{"review": "my dinner was great", "sentiment": "good"}] * 3
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["finetune", "--data", str(reviews), "--eval-data", str(other), "--model", str(model)]
    assert main([*words, "--steps", "2", "--no-plot", "--json", "--quiet"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert (report["data"]["train"], report["data"]["test"]) == (320, 3)
    assert shown.err == ""


def test_finetune_on_all_texts_has_no_accuracy_to_tell(model, reviews, here, capsys):
    words = ["finetune", "--data", str(reviews), "--test-share", "0", "--model", str(model)]
    assert main([*words, "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" not in shown and "examples/s" in shown
    assert (here / "lowbit-finetuned" / "adapter" / "adapter_config.json").is_file()


def test_long_text_is_cut_with_a_warning_of_one_line(model, reviews, here, capsys):
    long = here / "long.txt"
    long.write_text("the film was great\n" + "my " * 100 + "\n")
    assert main(["embed", str(long), "--model", str(model), "-o", "v.npy"]) == 0
    warning = capsys.readouterr().err.splitlines()
    assert len(warning) == 1 and warning[0].startswith("lowbit: warning: 1 of 2 texts have more")


def test_embed_writes_the_vectors_of_the_library(model, here, capsys):
    texts = ["the film was great", "my hotel", "a book and a dinner"]
    (here / "texts.txt").write_text("\n".join(texts) + "\n")
    expected = Encoder.from_pretrained(model).embed(texts)
    for output in ("v.npy", "v.jsonl"):
        assert main(["embed", "texts.txt", "--model", str(model), "-o", output]) == 0
    assert np.array_equal(np.load("v.npy"), expected)
    rows = [json.loads(line) for line in (here / "v.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), expected)


def embed_from_stdin(model: Path, data: bytes, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lowbit", "embed", "-", "--model", str(model), *options]
    return subprocess.run(command, input=data, capture_output=True, timeout=300)


def test_embed_reads_standard_input_and_writes_json_lines(model):
    done = embed_from_stdin(model, b"the film\r\nmy dinner was great\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["the film", "my dinner was great"]
    assert len(rows[0]["vector"]) == tiny_model.CONFIG["hidden_size"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input: empty"),
        (b"good\n\nbad\n", "standard input, line 2: empty text"),
        (b"good\nb\xffd\n", "standard input, line 2: not UTF-8"),
    ],
)
def test_embed_refuses_broken_standard_input(model, data, message):
    done = embed_from_stdin(model, data)
    assert done.returncode == 2 and message in done.stderr.decode() and done.stdout == b""


TWO = b"text\tlabel\nlovely\t1\nawful\t0\n"
FOUR = TWO + b"great\t1\npoor\t0\n"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (TWO.replace(b"0", b"1"), [], "two classes at least"),
        (b"", [], "reviews.tsv"),
        (TWO.replace(b"aw", b"\xff"), [], "line 3"),
        (TWO + b"one cell\n", [], "line 4: 1 columns"),
        (TWO.replace(b"awful", b" "), [], "remove these rows or pass --allow-empty"),
        (TWO, ["--text-column", "body"], "Name one with --text-column"),
        (TWO, ["--label-column", "stars"], "Name one with --label-column"),
        (FOUR, ["--model", "nowhere"], "model folder 'nowhere' does not exist"),
        (TWO, ["--eval-data", "nowhere.tsv"], "nowhere.tsv"),
        (FOUR, ["--out", "reviews.tsv"], "--out is a file, not a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(model, here, capsys, content, options, message):
    (here / "reviews.tsv").write_bytes(content)
    words = ["finetune", "--data", "reviews.tsv", "--model", str(model), *options]
    assert main(words) == 2
    shown = capsys.readouterr()
    error = shown.err.splitlines()[-1]
    assert error.startswith("lowbit: error: ") and message in error
    assert "Traceback" not in shown.err
    assert (here / "reviews.tsv").read_bytes() == content


@pytest.mark.parametrize(
    ("output", "message"),
    [("v.txt", "must end in .npy or .jsonl"), ("no/v.npy", "does not exist")],
)
def test_embed_refuses_the_output_before_the_work(here, capsys, output, message):
    assert main(["embed", "no such input.txt", "-o", output]) == 2
    assert message in capsys.readouterr().err


def test_debug_shows_the_traceback(here, monkeypatch):
    monkeypatch.setenv("LOWBIT_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        main(["finetune", "--data", "nowhere.tsv"])


def test_failed_save_keeps_the_exit_code_and_the_old_adapter(
    model, reviews, here, capsys, monkeypatch
):
    words = ["finetune", "--data", str(reviews), "--model", str(model), "--steps", "2", "--no-plot"]
    assert main(words) == 0
    weights = here / "lowbit-finetuned" / "adapter" / "adapter_model.safetensors"
    before = weights.read_bytes()

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([*words, "--seed", "9"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lowbit: error: saving ")
    assert "No space left on device" in error and "the old one is untouched" in error
    assert weights.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_leaves_a_checkpoint_and_says_where(model, reviews, here):
    command = [sys.executable, "-m", "lowbit", "finetune", "--epochs", "100000"]
    command += ["--data", str(reviews), "--model", str(model), "--quiet"]
    # A job started in the background ignores Ctrl-C, and so would its children.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    adapter = here / "lowbit-finetuned" / "adapter"
    deadline = time.monotonic() + 120
    while not adapter.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    path = Path("lowbit-finetuned") / "adapter"
    assert err == f"lowbit: interrupted; a valid checkpoint is in {path}\n"
    classifier = Classifier.from_pretrained(model, adapter=adapter)
    assert classifier.label_names == ["bad", "good"]


def test_ctrl_c_before_any_checkpoint_says_so(here, capsys, monkeypatch):
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lowbit.cli.finetune.read_task", interrupt)
    assert main(["finetune", "--data", "x.tsv"]) == 130
    assert capsys.readouterr().err == "lowbit: interrupted; no checkpoint had been written\n"


def test_reader_that_leaves_early_is_no_error(model, here):
    (here / "texts.txt").write_text("the film\n" * 2000)
    command = f"{sys.executable} -m lowbit embed texts.txt --model {model} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True)
    assert done.stderr == b"" and done.stdout.count(b"\n") == 1
    assert done.returncode in (0, 141)


def test_doctor_finds_kernels_that_agree(capsys):
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0 and report["healthy"] is True
    cpu = report["cpu"]
    assert cpu["active_isa"] in cpu["available_isas"]
    assert {check["isa"] for check in report["self_check"]} == set(cpu["available_isas"])
    assert all(check["passed"] for check in report["self_check"])
    assert report["threads"]["used"] >= 1


def test_doctor_notices_a_kernel_that_computes_wrong(capsys, monkeypatch):
    from lowbit import _core

    right = _core.pool
    monkeypatch.setattr(_core, "pool", lambda *arguments: right(*arguments) * 1.001)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED mean pooling" in shown and "something is wrong" in shown


def test_doctor_checks_a_model_folder(model, capsys):
    assert main(["doctor", "--model", str(model)]) == 0
    assert "2 layers, 32 wide, readable" in capsys.readouterr().out
    assert main(["doctor", "--model", "nowhere"]) == 2


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "lowbit", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("lowbit 0.")


def test_help_starts_without_the_models():
    code = (
        "import sys, lowbit.cli\n"
        "try: lowbit.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('matplotlib', 'lowbit.models') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


def test_all_commands_run_on_the_golden_model(here, reviews):
    """As a user runs them: real processes, the bundled reviews, default settings."""

    def lowbit(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "lowbit", *words, "--model", str(GOLDEN)]
        return subprocess.run(command, capture_output=True, text=True, timeout=600)

    demo = lowbit("demo")
    assert demo.returncode == 0, demo.stderr
    assert "accuracy after" in demo.stdout and "warning: " in demo.stderr
    report = json.loads(Path("lowbit-demo/report.json").read_text())
    assert (report["data"]["train"], report["data"]["test"]) == (480, 160)
    tuned = lowbit("finetune", "--data", str(reviews), "--format", "int8", "--json")
    assert tuned.returncode == 0, tuned.stderr
    adapter = json.loads(tuned.stdout)["adapter"]["folder"]
    Classifier.from_pretrained(GOLDEN, format="int8", adapter=adapter)
    Path("texts.txt").write_text("a good film\na bad plot\n")
    embedded = lowbit("embed", "texts.txt", "-o", "v.npy", "--format", "nf4")
    assert embedded.returncode == 0 and np.load("v.npy").shape == (2, 32)
    doctor = lowbit("doctor")
    assert doctor.returncode == 0 and "all is well" in doctor.stdout


@pytest.mark.model
def test_demo_on_the_real_model(here, capsys):
    try:
        find_bundled_model(verify=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    few = here / "few.tsv"
    texts, labels, *_ = load_reviews()
    rows = [f"{text}\t{label}\n" for text, label in zip(texts[:80], labels[:80], strict=True)]
    few.write_text("".join(rows))
    words = ["demo", "--data", str(few), "--steps", "3", "--json", "--no-plot"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"]["name"] == "all-MiniLM-L6-v2"
    assert report["model"]["trainable_parameters"] == 332_546
    assert report["model"]["bytes"] < 0.25 * report["model"]["bytes_float32"]
    assert report["adapter"]["same_predictions_after_reload"] is True
    assert report["training"]["curves"]["loss"][0] < 1
