"""A folder with a BERT-family model: configuration, weights, vocabulary.

    config.json                   sizes (see encoder_config.py)
    model.safetensors             the weights; or model.safetensors.index.json and several shards
    tokenizer.json or vocab.txt   the vocabulary
    modules.json, 1_Pooling/, sentence_bert_config.json   optional (see sentence_config.py)

Opening a folder reads the headers only. Every tensor the encoder needs is looked up and its shape
and type compared with the configuration before the first weight is read, so a wrong folder fails in
milliseconds with the name of the tensor, and nothing is ever allocated from an unchecked size.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.packed_tensors import PackedEntry, packed_entries, read_packed
from lowbit.files.safetensors import AS_FLOAT32, SafetensorsFile
from lowbit.files.sentence_config import SentenceConfig, read_sentence_config
from lowbit.files.untrusted import plain_name, read_json_object, shorten
from lowbit.quantization.affine import AffineParams
from lowbit.quantization.matrix import QuantizedMatrix

MAX_SHARDS = 1000
PREFIXES = ("", "bert.")
INPUT_SCALE = "input_scale"
"""Of a linear layer: inputs are multiplied by it, column by column, and the weight is that of such
inputs. `Encoder.save` writes it where columns were scaled before rounding."""


class StoredTensor(NamedTuple):
    """Where one of the encoder's tensors is found: shard, name in the shard, shape, type.

    `packed` is there for a matrix in one of lowbit's own formats, and `dtype` its name.
    """

    file: SafetensorsFile
    name: str
    shape: tuple[int, ...]
    dtype: str
    packed: PackedEntry | None = None


class ModelFolder:
    """An opened model folder; use `open_model_folder`.

    Attributes
    ----------
    path : Path
    config : EncoderConfig
    sentence : SentenceConfig
        `max_seq_length` is set and never over the number of positions.
    tokenizer_path : Path
        tokenizer.json if there is one, else vocab.txt.
    tensors : dict of str to StoredTensor
        By the names of `expected_tensors`, whatever prefix the file uses; also `pooler.dense.*` and
        `classifier.*` where the file has them.
    unused : tuple of str
        Names in the file that the encoder does not need, such as a masked-language-model head.

    Examples
    --------
    >>> folder = open_model_folder("no such folder")
    Traceback (most recent call last):
    FileNotFoundError: model folder 'no such folder' does not exist
    """

    def __init__(self, path: Path, config: EncoderConfig, files: list[SafetensorsFile]):
        self.path = path
        self.config = config
        self._files = files
        self.sentence = _limited(read_sentence_config(path), config.max_position_embeddings)
        self.tokenizer_path = _find_tokenizer(path)
        self.tensors, self.unused = _match_tensors(path, config, files)

    def __enter__(self) -> "ModelFolder":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the weight files; arrays that were read stay valid."""
        for file in self._files:
            file.close()

    def read(self, name: str, rows: tuple[int, int] | None = None) -> np.ndarray:
        """Read one tensor as float32.

        Parameters
        ----------
        name : str
            A key of `tensors`.
        rows : (first, end), optional
            Return these rows alone, and read no others unless the tensor is packed.

        Returns
        -------
        ndarray
            float32, C-contiguous, of the shape in `tensors[name].shape`.

        Raises
        ------
        KeyError
            The folder has no such tensor.
        FileFormatError
            The file changed under us, or the tensor holds NaN or infinity.
        """
        stored = self.tensors[name]
        if stored.packed is not None:
            packed = read_packed(stored.file, stored.packed)
            return packed.dequantize() if rows is None else packed.dequantize()[slice(*rows)]
        array = stored.file.read(stored.name, float32=True, rows=rows)
        # min and max are NaN when any value is, and need no temporary array.
        if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise FileFormatError(
                f"{stored.file.path}: tensor {shorten(stored.name)} holds NaN or infinity"
            )
        return array

    def read_weight(self, name: str) -> np.ndarray | QuantizedMatrix:
        """Read one tensor as it is stored if that is packed, else as `read` does."""
        stored = self.tensors[name]
        if stored.packed is not None:
            return read_packed(stored.file, stored.packed)
        return self.read(name)

    def read_input_scale(self, name: str) -> np.ndarray | None:
        """Scales of the inputs of the linear layer `name`, float32 [in], where it has some.

        Raises
        ------
        FileFormatError
            If one is not above 0, or not finite.
        """
        stored = self.tensors.get(f"{name}.{INPUT_SCALE}")
        if stored is None:
            return None
        scale = self.read(f"{name}.{INPUT_SCALE}")
        if not (scale > 0).all():
            raise FileFormatError(
                f"{stored.file.path}: tensor {shorten(stored.name)} must be above 0"
            )
        return scale

    def x_scale(self, name: str) -> str | AffineParams | None:
        """How inputs are rounded that a weight is multiplied with; None where nothing says so."""
        packed = self.tensors[name].packed
        return None if packed is None else packed.x_scale

    @property
    def is_packed(self) -> bool:
        """Whether the folder holds weights in packed formats."""
        return any(stored.packed is not None for stored in self.tensors.values())

    def nbytes(self) -> int:
        """Bytes that the tensors of this model take in their files."""
        return sum(
            t.file.tensors[name].nbytes
            for t in self.tensors.values()
            for name in (t.packed.tensors if t.packed else (t.name,))
        )


def open_model_folder(path: str | os.PathLike) -> ModelFolder:
    """Open and check a folder with a BERT-family model.

    Parameters
    ----------
    path : str or PathLike
        The folder. See the head of this module for the files in it.

    Returns
    -------
    ModelFolder
        Close it, or use it in a `with` statement.

    Raises
    ------
    FileNotFoundError
        The folder, its config.json, its weights or its vocabulary do not exist.
    FileFormatError
        A file breaks its format, the weights are a pickle, the model is of another family, or a
        tensor is missing or has a shape or type that the configuration does not allow; the message
        names the tensor, expected and got.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"model folder {os.fspath(path)!r} does not exist")
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder}: config.json is missing; is this a model folder?")
    config = EncoderConfig.from_file(folder / "config.json")
    files: list[SafetensorsFile] = []
    try:
        for shard in _find_weights(folder):
            files.append(SafetensorsFile(shard))
        return ModelFolder(folder, config, files)
    except BaseException:
        for file in files:
            file.close()
        raise


def expected_tensors(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors that the encoder needs (linear weights are [out, in]).

    Examples
    --------
    >>> config = EncoderConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
    ...                        intermediate_size=1536, vocab_size=30522)
    >>> expected = expected_tensors(config)
    >>> len(expected), expected["encoder.layer.5.intermediate.dense.weight"]
    (101, (1536, 384))
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    linears = {
        "attention.self.query": (hidden, hidden),
        "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden),
        "attention.output.dense": (hidden, hidden),
        "intermediate.dense": (inner, hidden),
        "output.dense": (hidden, inner),
    }
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        for module, shape in linears.items():
            shapes[f"{layer}.{module}.weight"] = shape
            shapes[f"{layer}.{module}.bias"] = shape[:1]
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{layer}.{norm}.weight"] = (hidden,)
            shapes[f"{layer}.{norm}.bias"] = (hidden,)
    return shapes


def _find_weights(folder: Path) -> list[Path]:
    """The safetensors files of a folder: one, or the shards that the index lists."""
    single = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if not index.exists():
        if (folder / "pytorch_model.bin").exists():
            raise FileFormatError(
                f"{folder}: pytorch_model.bin is a pickle, which can run any program, and is not "
                "read; convert it with transformers' save_pretrained(safe_serialization=True)"
            )
        raise FileNotFoundError(f"{folder}: model.safetensors is missing")
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FileFormatError(f"{index}: weight_map must map tensor names to files")
    if not all(isinstance(name, str) for name in weight_map.values()):
        raise FileFormatError(f"{index}: weight_map must map tensor names to file names")
    names = sorted(set(weight_map.values()))
    if len(names) > MAX_SHARDS:
        raise FileFormatError(f"{index}: {len(names)} files; at most {MAX_SHARDS} are accepted")
    shards = [folder / plain_name(name, str(index), ".safetensors") for name in names]
    for shard in shards:
        if not shard.exists():
            raise FileNotFoundError(f"{shard} is missing; {index.name} lists it")
    return shards


def _find_tokenizer(folder: Path) -> Path:
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{folder}: neither tokenizer.json nor vocab.txt is there")


def _limited(sentence: SentenceConfig, positions: int) -> SentenceConfig:
    length = positions if sentence.max_seq_length is None else sentence.max_seq_length
    return sentence._replace(max_seq_length=min(length, positions))


def _match_tensors(
    path: Path, config: EncoderConfig, files: list[SafetensorsFile]
) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Find every expected tensor, check it, and say what is left over."""
    stored: dict[str, StoredTensor] = {}
    for file in files:
        for entry in _stored_in(file):
            if entry.name in stored:
                raise FileFormatError(f"{path}: tensor {shorten(entry.name)} is in two files")
            stored[entry.name] = entry
    prefix = max(PREFIXES, key=lambda p: sum(name.startswith(f"{p}encoder.") for name in stored))
    named = {_canonical(name, prefix): tensor for name, tensor in stored.items()}
    if len(named) != len(stored):
        raise FileFormatError(f"{path}: one tensor is stored under two names (gamma and weight?)")
    shapes = expected_tensors(config)
    hidden = config.hidden_size
    for name, shape in (
        ("pooler.dense.weight", (hidden, hidden)),
        ("pooler.dense.bias", (hidden,)),
    ):
        if name in named:
            shapes[name] = shape
    shapes |= _input_scale_shapes(shapes, named)
    for name, shape in shapes.items():
        _check_tensor(path, name, shape, named.get(name))
    # A layer that the configuration does not know means that the configuration lies.
    for name, tensor in named.items():
        beyond = name.startswith("encoder.layer.") and name not in shapes
        if beyond:
            raise FileFormatError(
                f"{tensor.file.path}: tensor {shorten(tensor.name)} has no place in a model with "
                f"num_hidden_layers={config.num_hidden_layers}"
            )
    shapes |= _classifier_shapes(path, config, named)
    unused = sorted(tensor.name for name, tensor in named.items() if name not in shapes)
    return {name: named[name] for name in shapes}, tuple(unused)


def _input_scale_shapes(
    shapes: dict[str, tuple[int, ...]], named: dict[str, StoredTensor]
) -> dict[str, tuple[int, ...]]:
    """The scales of inputs that the file has for linear layers, one for each of their columns."""
    found = {}
    for name, shape in shapes.items():
        scale = f"{name.removesuffix('.weight')}.{INPUT_SCALE}"
        if len(shape) == 2 and name.startswith("encoder.") and scale in named:
            found[scale] = shape[1:]
    return found


def _stored_in(file: SafetensorsFile) -> Iterator[StoredTensor]:
    """The tensors of a file; those that make up a packed matrix are one."""
    packed = packed_entries(file)
    parts = {name for entry in packed.values() for name in entry.tensors}
    for entry in packed.values():
        yield StoredTensor(file, entry.name, entry.shape, entry.fields["format"], entry)
    for tensor in file.tensors.values():
        if tensor.name not in parts:
            yield StoredTensor(file, tensor.name, tensor.shape, tensor.dtype)


def _classifier_shapes(
    path: Path, config: EncoderConfig, named: dict[str, StoredTensor]
) -> dict[str, tuple[int, ...]]:
    """The head of a fine-tuned classifier: its number of classes is known from the file alone."""
    weight = named.get("classifier.weight")
    if weight is None:
        return {}
    classes = weight.shape[0] if weight.shape else 0
    if config.label_names and classes != len(config.label_names):
        raise FileFormatError(
            f"{path}: classifier.weight has {classes} rows; "
            f"id2label in config.json has {len(config.label_names)} names"
        )
    shapes = {"classifier.weight": (classes, config.hidden_size), "classifier.bias": (classes,)}
    for name, shape in shapes.items():
        _check_tensor(path, name, shape, named.get(name))
    return shapes


def _check_tensor(path: Path, name: str, shape: tuple, tensor: StoredTensor | None) -> None:
    if tensor is None:
        raise FileFormatError(f"{path}: tensor {name!r} is missing; expected shape {shape}")
    where = f"{tensor.file.path}: tensor {shorten(tensor.name)}"
    if tensor.shape != shape:
        raise FileFormatError(f"{where}: expected shape {shape}; got {shorten(tensor.shape)}")
    if tensor.packed is None and tensor.dtype not in AS_FLOAT32:
        raise FileFormatError(
            f"{where}: expected one of {', '.join(AS_FLOAT32)}; got {tensor.dtype}"
        )


def _canonical(name: str, prefix: str) -> str:
    """Our name of a stored tensor: no prefix, and gamma/beta of old conversions renamed."""
    name = name.removeprefix(prefix)
    for old, new in (
        (".LayerNorm.gamma", ".LayerNorm.weight"),
        (".LayerNorm.beta", ".LayerNorm.bias"),
    ):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
