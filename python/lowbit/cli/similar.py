"""`lowbit similar`: neighbours of words in a file of vectors, and analogies."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from lowbit.cli.console import Console, clip, table
from lowbit.cli.exit_codes import OK
from lowbit.embeddings import WordVectors


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, ask, print; returns the exit code."""
    if not args.words and not args.analogy:
        raise ValueError("similar: name a WORD, or three with --analogy A B C")
    wv = WordVectors.load(args.vectors, limit=args.limit)
    questions = [
        _asked([word], lambda word=word: wv.most_similar(word, top=args.top)) for word in args.words
    ]
    questions += [
        _asked(three, lambda three=three: wv.analogy(*three, top=args.top))
        for three in args.analogy
    ]
    for question in questions:
        words = [clip(word, 40) for word in question["words"]]
        title = words[0] if len(words) == 1 else f"{words[0]} is to {words[1]} as {words[2]} is to"
        console.heading(title)
        console.result(
            table([(f"{of['score']:.4f}", clip(of["word"])) for of in question["answers"]])
        )
    console.document(
        {
            "command": "similar",
            "vectors": args.vectors,
            "words": len(wv),
            "dim": wv.dim,
            "questions": questions,
        }
    )
    return OK


def _asked(words: list[str], ask: Callable[[], Any]) -> dict[str, Any]:
    """A question and its answers."""
    try:
        answers = ask()
    except KeyError as error:  # a word without a vector
        raise ValueError(error.args[0]) from None
    return {
        "words": words,
        "answers": [{"word": word, "score": float(score)} for word, score in answers],
    }
