"""`lowbit demo`: the main job from text to adapter, each step shown and measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.console import Console, clip, columns
from lowbit.cli.exit_codes import FAILED_CHECK, INTERRUPTED, OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, percent
from lowbit.cli.outputs import finish, prepare_folder
from lowbit.cli.task import Task, bundled_task, find_model, formats, read_task
from lowbit.cli.training import lora_config, model_summary, train, training_rows
from lowbit.models import Classifier, Encoder

TOKENS_SHOWN = 12
EXAMPLES_SHOWN = 5
# The speed of embedding is measured for this long, over whole passes through the texts.
SECONDS_MEASURED = 1.0


def run(args: argparse.Namespace, console: Console) -> int:
    """All steps; returns the exit code."""
    watch = Stopwatch()
    task = bundled_task() if args.data is None else read_task(args, share=0.2)
    name, folder = find_model(args)
    console.say(f"lowbit {machine()['lowbit']}: {machine_line()}")
    encoder = Encoder.from_pretrained(folder, double_quant=True, **formats(args, folder))
    out = prepare_folder(args.out)
    _show_model(name, encoder, console)
    _show_tokens(encoder, task, console)
    rate = _show_vectors(encoder, task, args.batch_size, console)

    model = Classifier(encoder, task.label_names, lora_config(args), args.pooling, args.seed)
    console.heading("Low-rank adapters, trained")
    training = train(model, task, args, console, out / "adapter")
    if training.history.interrupted:
        console.notice(f"interrupted; {console.checkpoint_note()}")
        return INTERRUPTED
    examples = _show_examples(model, task, console)
    same = _show_adapter(model, folder, out / "adapter", task, args, console)

    report = {
        "command": "demo",
        "model": model_summary(name, folder, model, model.trainable_parameters),
        "data": task.summary(),
        "training": training.summary(),
        "embedding": {"texts_per_second": rate},
        "examples": examples,
        "adapter": {"folder": str(out / "adapter"), "same_predictions_after_reload": same},
    }
    rows = training_rows(model, task, training, model.trainable_parameters)
    rows.append(("embedding", f"{rate:.0f} sentences/s"))
    finish(out, report, rows, watch, args, console)
    return OK if same else FAILED_CHECK


def _show_model(name: str, encoder: Encoder, console: Console) -> None:
    config = encoder.config
    console.heading("A pre-trained model, quantized")
    console.say(
        f"  {name}: {config.num_hidden_layers} layers, {config.hidden_size} wide, "
        f"{encoder.nbytes_fp32 // 4:,} parameters"
    )
    console.say(
        f"  {megabytes(encoder.nbytes_fp32)} in float32 -> {megabytes(encoder.nbytes)}: "
        f"{encoder.format} linear layers, {encoder.word_embeddings.format} word table"
    )


def _show_tokens(encoder: Encoder, task: Task, console: Console) -> None:
    text = min(task.test_texts, key=lambda t: abs(len(t) - 40))
    encoding = encoder.tokenizer.encode(text)
    shown = slice(0, TOKENS_SHOWN)
    tokens = [clip(token, 20) for token in encoding.tokens[shown]]
    ids = [str(id) for id in encoding.ids[shown].tolist()]
    console.heading("Text to tokens")
    console.say(f'  "{clip(text)}"')
    console.say(columns([tokens, ids]))


def _show_vectors(encoder: Encoder, task: Task, batch_size: int, console: Console) -> float:
    """Embed the texts not trained on, show two that are close; returns sentences per second."""
    console.heading("Text to vectors")
    texts = task.test_texts
    vectors = encoder.embed(texts, batch_size)  # also warms up memory and threads
    watch = Stopwatch()
    passes = 0
    while watch.seconds < SECONDS_MEASURED:
        encoder.embed(texts, batch_size)
        passes += 1
    rate = passes * len(texts) / watch.seconds
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    # The same text may stand in a file twice; that pair would show nothing.
    cosines[cosines > 0.999] = -1
    first, second = np.unravel_index(cosines.argmax(), cosines.shape)
    if len(texts) > 1:
        console.say(f"  of {len(texts)} texts the two with the nearest meaning, by cosine:")
        console.say(f"  {cosines[first, second]:.2f}  {clip(texts[first])}")
        console.say(f"        {clip(texts[second])}")
    console.say(f"  {rate:.0f} sentences/s, {vectors.shape[1]} values each")
    return rate


def _show_examples(model: Classifier, task: Task, console: Console) -> list[dict[str, Any]]:
    """Predictions of the first texts, and the mistake the model is most certain of."""
    probabilities = model.predict_proba(task.test_texts)
    predicted = probabilities.argmax(axis=1)
    certainty = probabilities.max(axis=1)
    chosen = list(range(min(EXAMPLES_SHOWN, len(predicted))))
    wrong = np.flatnonzero(predicted != task.test_labels)
    if len(wrong):
        worst = int(wrong[certainty[wrong].argmax()])
        chosen = [i for i in chosen if i != worst] + [worst]
    console.heading("Predictions for texts not trained on, the last the most certain mistake")
    examples = []
    for i in chosen:
        label, truth = (task.label_names[k] for k in (predicted[i], task.test_labels[i]))
        mark = "right" if label == truth else f"wrong, it is {truth}"
        console.say(f'  "{clip(task.test_texts[i])}"')
        console.say(f"      {clip(label, 30)} {certainty[i]:.2f}, {mark}")
        examples.append(
            {
                "text": task.test_texts[i],
                "predicted": label,
                "probability": float(certainty[i]),
                "label": truth,
            }
        )
    return examples


def _show_adapter(
    model: Classifier,
    folder: Path,
    adapter: Path,
    task: Task,
    args: argparse.Namespace,
    console: Console,
) -> bool:
    """Read the saved adapter onto a fresh model; whether it predicts the same to the last bit."""
    console.heading("The adapter, saved and read back")
    size = sum(file.stat().st_size for file in adapter.iterdir())
    fresh = Classifier.from_pretrained(
        folder,
        labels=task.label_names,
        double_quant=True,
        adapter=adapter,
        **formats(args, folder),
    )
    ours = model.predict_proba(task.test_texts)
    theirs = fresh.predict_proba(task.test_texts)
    same = bool(np.array_equal(ours, theirs))
    verdict = (
        "the same probabilities, bit for bit"
        if same
        else f"other probabilities, by up to {np.abs(ours - theirs).max():.2g}: please report this"
    )
    console.say(f"  {adapter}: {megabytes(size)}, in PEFT's format")
    console.say(f"  a fresh {fresh.encoder.format} model with it gives {verdict}")
    console.say(f"  ({percent(float((theirs.argmax(axis=1) == task.test_labels).mean()))} right)")
    return same
