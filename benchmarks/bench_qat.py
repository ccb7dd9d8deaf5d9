"""What training with rounding recovers: sentence vectors, and the accuracy of a classifier.

    python benchmarks/bench_qat.py --data SST2_train.tsv

All-MiniLM-L6-v2, linear layers in groups of 32; 3 and 2 bits are the middle codes of int4.

Vectors: the encoder, its word table in nf4, is rounded to the nearest values, to scales of least
squared error, by GPTQ for 392 sentences, and by distillation from the original over the training
sentences, without their labels. Cosines are with the original's vectors of the 1,820 withheld
sentences (see sst2.py).

Classes: all linear layers are fine-tuned in float32, rounded, and trained on with rounding and
learned steps, as is float32 for comparison. Reported are accuracy on the withheld sentences and how
far the logits are from those of the first training, as a part of their norm.

Every packed encoder is saved, read again and compared with the one in memory before it is measured,
and every packed classifier has the logits that training saw.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

import lowbit
from lowbit.files import find_bundled_model
from lowbit.models import Classifier, Encoder, distill
from lowbit.models.training import Event, Step
from lowbit.quantization import QatConfig

CONFIGS = {
    "int4": QatConfig("int4", 32),
    "3 bits": QatConfig("int4", 32, bits=3),
    "2 bits": QatConfig("int4", 32, bits=2),
}


def distilled(
    folder: Path, config: QatConfig, texts: list[str], embeddings: str = "nf4", **training: Any
) -> Encoder:
    """The encoder of `folder` rounded as `config` says and distilled from the original."""
    student = Encoder.from_pretrained(folder, embeddings=embeddings)
    return distill(student, Encoder.from_pretrained(folder), texts, config, **training)


def distilled_as(
    folder: Path, options: dict[str, Any], texts: list[str], **training: Any
) -> Encoder:
    """The same for options of `Encoder.from_pretrained`, as other benchmarks have them."""
    config = QatConfig(
        options["format"],
        options.get("group_size", 64),
        options.get("double_quant", False),
        learned_step=True,
        scale_dtype=options.get("scale_dtype"),
    )
    return distilled(folder, config, texts, options.get("embeddings") or "fp32", **training)


def calibrated(folder: Path, config: QatConfig, texts: list[str]) -> Encoder:
    """The encoder of `folder` rounded by GPTQ."""
    return Encoder.from_pretrained(
        folder,
        format=config.format,
        group_size=config.group_size,
        embeddings="nf4",
        calibrate=texts,
    )


def nearest(folder: Path, config: QatConfig) -> Encoder:
    """The encoder of `folder`, each weight rounded by itself."""
    model = Classifier.from_pretrained(folder, qat=config, embeddings="nf4")
    return model.quantized().encoder


def checked(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Vectors of the texts, once the saved encoder has given the same."""
    vectors = encoder.embed(texts)
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder) / "model")
        again = Encoder.from_pretrained(Path(folder) / "model")
        np.testing.assert_array_equal(again.embed(texts[:64]), encoder.embed(texts[:64]))
    return vectors


def vector_rows(options: argparse.Namespace, data: sst2.Sst2) -> list[list[str]]:
    """A line for every way to round the encoder."""
    train, withheld = data.part(data.train)[0], withheld_part(data)[0]
    exact = Encoder.from_pretrained(options.model).embed(withheld)
    rows = []

    def measure(name: str, how: str, make: Callable[[], Encoder]) -> None:
        begin = time.perf_counter()
        encoder = make()
        seconds = time.perf_counter() - begin
        cosines = np.sum(checked(encoder, withheld) * exact, axis=1)
        figures = [f"{cosines.mean():.4f}", f"{cosines.min():.4f}", f"{seconds:.0f} s"]
        rows.append([name, how, *figures])
        print(" | ".join(rows[-1]), flush=True)

    training = {"steps": options.steps, "lr": options.distill_lr, "on_event": progress}
    for name in options.configs:
        plain, learned = CONFIGS[name], replace(CONFIGS[name], learned_step=True)
        trained = plain if options.fixed_rule else learned
        ways = {
            "nearest": lambda config=plain: nearest(options.model, config),
            "least error": lambda config=learned: nearest(options.model, config),
            "GPTQ": lambda config=plain: calibrated(options.model, config, train[::13]),
            f"distilled, {options.steps} steps": lambda config=trained: distilled(
                options.model, config, train, **training
            ),
        }
        for how, make in ways.items():
            if how != "GPTQ" or plain.bits is None:
                measure(name, how, make)
    return rows


def class_rows(options: argparse.Namespace, data: sst2.Sst2) -> list[list[str]]:
    """A line for float32, and for every format before and after training with rounding."""
    train, withheld = data.part(data.train), withheld_part(data)
    model = Classifier.from_pretrained(options.model, labels=2, qat=QatConfig("fp32"))
    fit = {"on_event": progress, "steps": options.steps}
    more = fit | {"lr": options.lr / 2, "seed": 1}
    model.fit(*train, lr=options.lr, **fit)
    exact, values = logits_of(model, withheld[0]), model.parameters.values.copy()
    rows = []

    def measure(name: str, how: str, logits: np.ndarray) -> None:
        accuracy = float((logits.argmax(axis=1) == withheld[1]).mean())
        drift = float(np.linalg.norm(logits - exact) / np.linalg.norm(exact))
        rows.append([name, how, f"{accuracy:.3f}", f"{drift:.3f}"])
        print(" | ".join(rows[-1]), flush=True)

    measure("fp32", f"fine-tuned, {options.steps} steps", exact)
    model.fit(*train, **more)  # for what more training alone gives
    measure("fp32", f"trained on, {options.steps} steps", logits_of(model, withheld[0]))
    for name in options.configs:
        plain, learned = CONFIGS[name], replace(CONFIGS[name], learned_step=True)
        for how, config in (("nearest", plain), ("least error", learned)):
            model.prepare_qat(QatConfig("fp32"))
            model.parameters.values[:] = values
            model.prepare_qat(config)
            measure(name, how, logits_of(model, withheld[0]))
        if options.fixed_rule:
            model.prepare_qat(plain)
        model.fit(*train, **more)
        packed = model.quantized()
        logits = logits_of(packed, withheld[0])
        np.testing.assert_array_equal(logits, logits_of(model, withheld[0]))
        checked(packed.encoder, withheld[0])
        measure(name, f"trained on, {options.steps} steps", logits)
    return rows


def withheld_part(data: sst2.Sst2) -> tuple[list[str], np.ndarray]:
    """Sentences and labels that nothing is trained on."""
    return data.part(np.concatenate([data.dev, data.test]))


def logits_of(model: Classifier, texts: list[str]) -> np.ndarray:
    """Log-probabilities without their mean: what of the logits decides."""
    logits = np.log(model.predict_proba(texts))
    return logits - logits.mean(axis=1, keepdims=True)


def progress(event: Event) -> None:
    """A line now and then."""
    if isinstance(event, Step) and event.step % 50 == 0:
        print(f"  step {event.step}: loss {event.loss:.4f}, {event.seconds:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="sentences and labels")
    parser.add_argument("--model", type=Path, help="BERT-family folder")
    parser.add_argument("--steps", type=int, default=100, help="of every training")
    parser.add_argument("--lr", type=float, default=1e-4, help="of fine-tuning; half with rounding")
    parser.add_argument("--distill-lr", type=float, default=1e-4)
    parser.add_argument("--configs", nargs="*", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument(
        "--fixed-rule", action="store_true", help="train without learned steps: scales follow"
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    lowbit.set_num_threads(options.threads)
    options.model = options.model or find_bundled_model()
    data = sst2.load(options.data)
    for part in options.parts:
        columns, rows = PARTS[part]
        found = rows(options, data)
        print(f"\n{process.machine()}, {options.threads} threads\n")
        process.print_table(columns, found)
        print()


PARTS = {
    "vectors": (["", "rounded", "cosine", "lowest", "time"], vector_rows),
    "classes": (["", "", "accuracy", "change of logits"], class_rows),
}

if __name__ == "__main__":
    main()
