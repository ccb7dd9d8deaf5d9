"""The keys of adapter_model.safetensors: pairs of matrices, modules saved in full, and what fits.

Errors are ValueError; the reader of files turns them into `FileFormatError`.
"""

from collections.abc import Mapping

from lowbit.adapters.config import LoraConfig
from lowbit.files.untrusted import shorten

A, B = ".lora_A.weight", ".lora_B.weight"
REFUSED = {
    ".lora_magnitude_vector": "DoRA",
    ".lora_embedding_A": "adapters of embedding tables",
    ".lora_embedding_B": "adapters of embedding tables",
    ".lora_A.bias": "lora_bias",
    ".lora_B.bias": "lora_bias",
    ".base_layer.weight": "a full copy of an adapted layer",
    ".base_layer.bias": "trained biases",
    ".lora_E": "AdaLoRA",
    ".trainable_tokens_delta": "trainable tokens",
    ".original_module.weight": "a copy of the original module",
}
MAX_TENSORS = 100_000
MAX_MODULE_NAME = 512

Shape = tuple[int, ...]


def split_tensors(
    shapes: Mapping[str, Shape], where: str
) -> tuple[dict[str, tuple[Shape, Shape]], dict[str, Shape]]:
    """Sort keys into pairs (module -> shapes of A and B) and the rest (tensors saved in full).

    Parameters
    ----------
    shapes : mapping of str to tuple
        By key without the prefix `base_model.model.`.
    where : str
        The start of error messages.

    Raises
    ------
    ValueError
        A key of a kind that is not supported, half a pair, or a matrix that is not one.
    """
    if len(shapes) > MAX_TENSORS:
        raise ValueError(f"{where}: {len(shapes)} tensors; at most {MAX_TENSORS} are accepted")
    halves: dict[str, dict[str, Shape]] = {}
    saved: dict[str, Shape] = {}
    for name, shape in shapes.items():
        for end, kind in REFUSED.items():
            if name.endswith(end):
                raise ValueError(f"{where}: key {shorten(name)}: {kind} is not supported")
        end = next((end for end in (A, B) if name.endswith(end)), None)
        module = name.removesuffix(end) if end else name
        if not 0 < len(module) <= MAX_MODULE_NAME:
            raise ValueError(f"{where}: key {shorten(name)}: module name is empty or too long")
        if end is None:
            saved[name] = shape
            continue
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"{where}: key {shorten(name)} must be a matrix; got shape {shorten(shape)}"
            )
        halves.setdefault(module, {})[end] = shape
    for module, found in halves.items():
        for end in (A, B):
            if end not in found:
                raise ValueError(f"{where}: key {shorten(module + end)} is missing")
    return {module: (found[A], found[B]) for module, found in halves.items()}, saved


def check_stored(
    config: LoraConfig,
    pairs: Mapping[str, tuple[Shape, Shape]],
    saved: Mapping[str, Shape],
    where: str,
) -> None:
    """Compare the tensors with the configuration alone: ranks, targets, saved modules.

    Raises
    ------
    ValueError
        A rank differs, a stored module is no target, a target is stored nowhere, or a tensor
        belongs to none of `modules_to_save`.
    """
    for module, (a, b) in pairs.items():
        rank = config.rank_of(module)
        for end, found, axis in ((A, a, 0), (B, b, 1)):
            if found[axis] != rank:
                raise ValueError(
                    f"{where}: key {shorten(module + end)}: expected rank {rank} on axis {axis}; "
                    f"got shape {shorten(found)}"
                )
    targets = set(config.find_targets(pairs)) if pairs else set()
    if not pairs:
        raise ValueError(f"{where}: there are no LoRA matrices")
    for module in pairs:
        if module not in targets:
            raise ValueError(
                f"{where}: module {shorten(module)} has matrices but is not in target_modules"
            )
    for name in saved:
        if not belongs(name, config.modules_to_save):
            raise ValueError(
                f"{where}: key {shorten(name)} is neither a LoRA matrix nor in modules_to_save "
                f"{shorten(config.modules_to_save)}"
            )


def check_fit(
    config: LoraConfig,
    pairs: Mapping[str, tuple[Shape, Shape]],
    module_shapes: Mapping[str, tuple[int, int]],
    where: str,
) -> None:
    """Compare the matrices with the model they shall be attached to.

    Raises
    ------
    ValueError
        The adapter has a module that the model lacks, lacks one that its configuration names, or a
        shape differs.
    """
    for module, (a, b) in pairs.items():
        if module not in module_shapes:
            raise ValueError(
                f"{where}: the model has no module {shorten(module)}; "
                f"its modules are called {', '.join(map(repr, list(module_shapes)[:3]))}, ..."
            )
        rows, columns = module_shapes[module]
        for end, found, axis, size in ((A, a, 1, columns), (B, b, 0, rows)):
            if found[axis] != size:
                expected = (found[0], size) if axis else (size, found[1])
                raise ValueError(
                    f"{where}: key {shorten(module + end)}: expected shape {expected}; "
                    f"got {shorten(found)}"
                )
    for module in config.find_targets(module_shapes):
        if module not in pairs:
            raise ValueError(f"{where}: key {shorten(module + A)} is missing")


def check_saved(saved: Mapping[str, Shape], saved_shapes: Mapping[str, Shape], where: str) -> None:
    """Compare the tensors saved in full with those that the model has.

    Raises
    ------
    ValueError
        One is missing, unknown or of another shape.
    """
    for name in sorted(saved.keys() | saved_shapes.keys()):
        expected, found = saved_shapes.get(name), saved.get(name)
        if expected is None:
            raise ValueError(f"{where}: the model has no tensor {shorten(name)}")
        if found is None:
            raise ValueError(f"{where}: key {shorten(name)} is missing; expected shape {expected}")
        if tuple(expected) != tuple(found):
            raise ValueError(
                f"{where}: key {shorten(name)}: expected shape {tuple(expected)}; "
                f"got {shorten(tuple(found))}"
            )


def belongs(tensor: str, modules: tuple[str, ...]) -> bool:
    """Whether a tensor's name lies in one of the modules: `classifier.weight` in `classifier`."""
    inside = "." + tensor
    return any(f".{module}." in inside for module in modules)
