"""The options of every command, and the checks of their values."""

from __future__ import annotations

import argparse
from typing import NoReturn

from lowbit import __version__, _core
from lowbit.cli.console import one_line
from lowbit.cli.embed_arguments import add_distill_options, add_embed_options
from lowbit.cli.option_values import BUNDLED, number, size, whole
from lowbit.cli.shared_options import (
    add_allow_empty,
    add_batch_size,
    add_model_folder,
    add_no_plot,
    add_text_column,
    add_text_count,
)
from lowbit.cli.tokenizer_arguments import add_tokenize_options, add_train_tokenizer_options
from lowbit.cli.vector_arguments import add_similar_options, add_train_vectors_options

FORMATS = [entry["name"] for entry in _core.formats()]
PACKED = {entry["name"] for entry in _core.formats() if entry["packed"]}
# As lowbit.quantization.METHODS, which takes a while to import; a test compares them.
METHODS = ["nearest", "search", "hqq", "gptq", "awq", "smoothquant"]
SCALE_DTYPES = ["fp32", "fp16", "bf16"]
ACTIVATIONS = ["dynamic", "static"]
OBSERVERS = ["minmax", "average", "percentile", "mse", "entropy"]


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong option is one line like every other error."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.removeprefix("lowbit").strip()
        where = f"{command}: " if command else ""
        text = f"{where}{one_line(message)}; see {self.prog} --help"
        self.exit(2, f"lowbit: error: {text}\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command `lowbit`."""
    parser = Parser(
        prog="lowbit",
        description="Text to a fine-tuned low-bit language model on an ordinary CPU.",
        epilog="Environment: LOWBIT_ISA caps the instruction set, LOWBIT_NUM_THREADS the threads; "
        "LOWBIT_VERBOSE=1 prints every operation, LOWBIT_DEBUG=1 the traceback of an error.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lowbit {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )
    for add in (
        _add_demo,
        _add_finetune,
        _add_embed,
        _add_distill,
        _add_quantize,
        _add_inspect,
        _add_tokenize,
        _add_train_tokenizer,
        _add_train_vectors,
        _add_similar,
        _add_doctor,
    ):
        add(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quiet", action="store_true", help="print the result and nothing else")
    parser.add_argument(
        "--threads", type=whole(1, 1024), metavar="N", help="threads to use (default: all CPUs)"
    )
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "demo", "fine-tune a 4-bit encoder on reviews and show every step")
    _add_model(parser, format="nf4")
    _add_data(parser, required=False)
    _add_training(parser, epochs=4, out="lowbit-demo", out_help="folder of all results")


def _add_finetune(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "finetune", "fine-tune a classifier on your labelled texts")
    _add_model(parser, format="nf4")
    data = _add_data(parser, required=True)
    held_out = data.add_mutually_exclusive_group()
    held_out.add_argument(
        "--eval-data", metavar="FILE", help="texts to evaluate on, in the same columns"
    )
    held_out.add_argument(
        "--test-share",
        type=number(0, 0.9),
        default=0.2,
        metavar="S",
        help="share of the texts set apart to evaluate on; 0 for none (default: %(default)s)",
    )
    _add_training(parser, epochs=3, out="lowbit-finetuned", out_help="folder of all results")
    parser.add_argument(
        "--qat",
        choices=[name for name in FORMATS if name in PACKED],
        help="train rounded weights instead of adapters, and write a whole model in this format",
    )


def _add_embed(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "embed", "turn texts, or words where they stand, into vectors")
    add_embed_options(parser)
    _add_model(parser, format="fp32")
    add_text_column(parser)
    add_allow_empty(parser)


def _add_distill(commands: argparse._SubParsersAction) -> None:
    help_ = "make a table of static vectors from a model, which embeds texts without its layers"
    add_distill_options(_command(commands, "distill", help_))


def _add_quantize(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "quantize", "store a model in few bits and say what that costs")
    add_model_folder(parser)
    _add_formats(parser)
    _add_rounding(parser)
    _add_activations(parser)
    parser.add_argument(
        "--check",
        metavar="FILE",
        help="other texts, whose vectors are compared with those of the original model",
    )
    add_text_column(parser)
    add_text_count(parser, 1, 100_000, "of each file to use, spread over it")
    add_no_plot(parser)


def _add_formats(parser: argparse.ArgumentParser) -> None:
    """How `quantize` stores weights."""
    parser.add_argument(
        "--format",
        choices=[*(name for name in FORMATS if name in PACKED), "auto"],
        default="nf4",
        help="of the linear layers (default: %(default)s); auto: for every weight, by --budget",
    )
    parser.add_argument(
        "--budget",
        type=size,
        metavar="SIZE",
        help="with --format auto: what the weights may take in all, such as 20MB or 19MiB",
    )
    parser.add_argument(
        "--group-size",
        type=whole(0, 65536),
        metavar="N",
        help="columns that share a scale, 0 for a row (default: 64, and a row for int8)",
    )
    parser.add_argument(
        "--scale-dtype",
        choices=SCALE_DTYPES,
        help="type of the scales (default: fp32, 8 bits for nf4 and fp4, powers of two for mxfp4)",
    )
    parser.add_argument(
        "--asymmetric",
        action="store_true",
        help="give every group a zero point as well, for int8 and int4",
    )
    _add_embeddings(parser, "as --format")
    parser.add_argument(
        "--keep-pooler",
        action="store_true",
        help="keep the layer above the first token also where the model's vectors do not use it",
    )


def _add_rounding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibrate",
        metavar="FILE",
        help="texts like those to come, one a line or a table: weights are rounded for them",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="how weights are rounded; gptq, awq and smoothquant need --calibrate (default: gptq "
        "with it, else nearest)",
    )
    parser.add_argument(
        "--bias-correction",
        action="store_true",
        help="let biases give back what rounding adds to mean outputs; needs --calibrate",
    )
    parser.add_argument(
        "--distill",
        type=whole(1, 10**9),
        metavar="STEPS",
        help="train the rounded weights to give what the original gives, 32 texts a step; needs "
        "--calibrate, and the more --texts the better",
    )


def _add_activations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--activations",
        choices=ACTIVATIONS,
        help="multiply in int8, with scales of the inputs that are taken from each row (dynamic) "
        "or from the texts of --calibrate (static)",
    )
    help_ = "what chooses static scales (default: %(default)s)"
    parser.add_argument("--observer", choices=OBSERVERS, default="mse", help=help_)


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "inspect", "list the tensors of a safetensors or GGUF file")
    parser.add_argument("file", metavar="FILE", help="*.safetensors, *.gguf, or a model folder")


def _add_tokenize(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "tokenize", "show the tokens of a text, count or write them")
    add_tokenize_options(parser)


def _add_train_tokenizer(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "train-tokenizer", "learn a vocabulary from your texts")
    add_train_tokenizer_options(parser)


def _add_train_vectors(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "train-vectors", "learn word vectors from your texts")
    add_train_vectors_options(parser)


def _add_similar(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "similar", "find the nearest words in a file of word vectors")
    add_similar_options(parser)


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "doctor", "say what this machine can do and check the kernels")
    parser.add_argument("--model", metavar="FOLDER", help="also check this model folder")


def _add_model(parser: argparse.ArgumentParser, format: str) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="FOLDER",
        help="BERT-family folder: config.json, safetensors, tokenizer.json or vocab.txt "
        f"(default: {BUNDLED})",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        help=f"of the linear layers (default: {format}, or what the folder holds in few bits)",
    )
    _add_embeddings(group, "int8 for packed formats, else as --format")
    parser.set_defaults(default_format=format)


def _add_data(parser: argparse.ArgumentParser, required: bool) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("data")
    default = "" if required else " (default: the reviews that come with lowbit)"
    group.add_argument(
        "--data",
        metavar="FILE",
        required=required,
        help=f"TSV, CSV or JSONL of texts and labels{default}",
    )
    add_text_column(group)
    group.add_argument("--label-column", metavar="NAME", help="column of the labels")
    add_allow_empty(group)
    return group


def _add_training(parser: argparse.ArgumentParser, epochs: int, out: str, out_help: str) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--rank", type=whole(1, 1024), default=8, metavar="N", help="of the adapters"
    )
    group.add_argument(
        "--alpha",
        type=number(0, 1e6, open_low=True),
        metavar="X",
        help="strength: the adapters are scaled by alpha / rank (default: twice the rank)",
    )
    group.add_argument("--epochs", type=whole(1, 100_000), default=epochs, metavar="N")
    group.add_argument("--steps", type=whole(1, 10**9), metavar="N", help="instead of --epochs")
    add_batch_size(group)
    group.add_argument(
        "--lr", type=number(0, 10, open_low=True), metavar="X", help="default: 1e-3, weights: 1e-4"
    )
    group.add_argument("--dropout", type=number(0, 0.9), default=0.0, metavar="P")
    group.add_argument("--pooling", choices=["mean", "cls"], default="mean")
    group.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, metavar="N")
    group.add_argument("--out", default=out, metavar="FOLDER", help=f"{out_help} (%(default)s)")
    add_no_plot(group)


def _add_embeddings(parser: argparse._ActionsContainer, default: str) -> None:
    help_ = f"format of the word table (default: {default})"
    parser.add_argument("--embeddings", choices=FORMATS, help=help_)
