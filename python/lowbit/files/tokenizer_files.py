"""Tokenizers in any format: which one a file has."""

from __future__ import annotations

from pathlib import Path

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import open_regular
from lowbit.tokenizers.spec import TokenizerSpec

# What a folder may hold, the most telling first.
IN_FOLDERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def read_tokenizer(
    path: Path, pattern: str | None = None, special_tokens: dict[str, int] | None = None
) -> TokenizerSpec:
    """Read the tokenizer in a file or folder; see `Tokenizer.from_file`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FileFormatError
        The file is broken, or asks for something that is not supported.
    """
    if path.is_dir():
        path = _in_folder(path)
    try:
        return _read(path, pattern, special_tokens)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        start = "" if detail.startswith(str(path)) else f"{path}: "
        raise FileFormatError(start + detail) from error


def _read(path: Path, pattern: str | None, special_tokens: dict[str, int] | None) -> TokenizerSpec:
    from lowbit.files import (
        gguf_tokenizer,
        sentencepiece_tokenizer,
        tiktoken_ranks,
        tokenizer_json,
        vocabulary_files,
    )

    if path.suffix == ".tiktoken" or (path.suffix == ".model" and _is_text(path)):
        return tiktoken_ranks.read_tiktoken(path, pattern, special_tokens)
    if pattern is not None or special_tokens is not None:
        raise FileFormatError(
            f"{path}: pattern and special_tokens belong to files in tiktoken's format"
        )
    if path.suffix == ".model":
        return sentencepiece_tokenizer.read_sentencepiece(path)
    if path.suffix == ".gguf":
        return gguf_tokenizer.read_gguf(path)
    if path.suffix == ".txt":
        return vocabulary_files.read_vocab_txt(path)
    if path.name.endswith("vocab.json"):
        return vocabulary_files.read_vocab_json(path)
    return tokenizer_json.read_tokenizer_json(path)


def _in_folder(folder: Path) -> Path:
    for name in IN_FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{folder}: none of {', '.join(IN_FOLDERS)} is in this folder")


def _is_text(path: Path) -> bool:
    """Whether a .model file is tiktoken's, as Llama 3 has it: base64 from the first byte on."""
    with open_regular(path) as file:
        head = file.read(64).split(b" ")[0]
    return len(head) > 3 and all(chr(byte).isalnum() or byte in b"+/=" for byte in head)
