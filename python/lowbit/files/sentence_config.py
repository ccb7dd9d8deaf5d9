"""The files that sentence-transformers puts beside a model: pooling, normalisation, length.

modules.json               list of {"idx", "name", "path", "type"}: Transformer, Pooling, Normalize
1_Pooling/config.json      pooling_mode_cls_token, pooling_mode_mean_tokens, ... true or false
sentence_bert_config.json  max_seq_length
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import (
    MAX_JSON_BYTES,
    parse_json,
    plain_name,
    read_bounded,
    read_json_object,
    shorten,
)

Pooling = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""Names as sentence-transformers has them; `lowbit.models.pooling` says what they mean."""

POOLING_KEYS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class SentenceConfig(NamedTuple):
    """How the vectors of the tokens become one vector of the text.

    Attributes
    ----------
    pooling : str
        One of `Pooling`, such as "mean" over the tokens or "cls", the first token alone.
    normalize : bool
        Whether the vector is scaled to length 1.
    max_seq_length : int or None
        Longest text in tokens, special tokens included; None: as many as there are positions.
    """

    pooling: str = "mean"
    normalize: bool = False
    max_seq_length: int | None = None


def read_sentence_config(folder: Path) -> SentenceConfig:
    """Read what is there; a folder without these files gives mean pooling, not normalised.

    Parameters
    ----------
    folder : Path
        The folder of the model.

    Raises
    ------
    FileFormatError
        A file is broken, or asks for something that lowbit does not compute (two ways of pooling
        side by side, a dense layer after the pooling): its embeddings would silently differ.

    Examples
    --------
    >>> read_sentence_config(Path("no such folder"))
    SentenceConfig(pooling='mean', normalize=False, max_seq_length=None)
    """
    pooling_folder, normalize = _read_modules(folder / "modules.json")
    return SentenceConfig(
        pooling=_read_pooling(folder / pooling_folder / "config.json"),
        normalize=normalize,
        max_seq_length=_read_length(folder / "sentence_bert_config.json"),
    )


def says_pooling(folder: Path) -> bool:
    """Whether files of the folder say how vectors of texts come from those of tokens.

    Examples
    --------
    >>> says_pooling(Path("no such folder"))
    False
    """
    return (folder / "modules.json").exists() or (folder / "1_Pooling" / "config.json").exists()


def _read_modules(path: Path) -> tuple[Path, bool]:
    """Name of the pooling folder, and whether a Normalize module follows it."""
    if not path.exists():
        return Path("1_Pooling"), False
    modules = parse_json(read_bounded(path, MAX_JSON_BYTES), str(path))
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise FileFormatError(f"{path}: a list of modules is expected; got {shorten(modules)}")
    # The dotted names have changed over the versions; their last part has not.
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise FileFormatError(
            f"{path}: modules {shorten(kinds)} are not supported; "
            "use Transformer, Pooling and, optionally, Normalize"
        )
    return plain_name(modules[1].get("path"), str(path)), "Normalize" in kinds


def _read_pooling(path: Path) -> str:
    """Newer files name the mode, older ones set one of several flags."""
    if not path.exists():
        return "mean"
    values = read_json_object(path)
    named = values.get("pooling_mode")
    flags = [key for key, value in values.items() if key.startswith("pooling_mode_") and value]
    modes = [named] if named is not None else [POOLING_KEYS.get(key, key) for key in flags]
    known = get_args(Pooling)
    if len(modes) != 1 or modes[0] not in known:
        raise FileFormatError(
            f"{path}: pooling {shorten(modes)} is not supported; use one of {', '.join(known)}"
        )
    return modes[0]


def _read_length(path: Path) -> int | None:
    if not path.exists():
        return None
    value: Any = read_json_object(path).get("max_seq_length")
    if value is not None and (type(value) is not int or not 3 <= value <= 1 << 20):
        raise FileFormatError(
            f"{path}: max_seq_length must be a whole number from 3 to 1048576; got {shorten(value)}"
        )
    return value
