"""Saving without losing: new bytes go to a temporary name and are renamed when they are complete.

A reader sees the old file or the new one, never half of one. The temporary lies beside the target,
because a rename is atomic only within one file system. When anything goes wrong while writing (disk
full, Ctrl-C, an exception of the caller), the temporary is removed and the old file is as it was.
Data and folder entry are flushed to the disk before success is reported.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary stream whose bytes become the file `path` when the block ends well.

    Parameters
    ----------
    path : str or PathLike
        The file to create or replace. A symbolic link keeps pointing where it points: the file
        behind it is replaced. Permissions of an existing file are kept.

    Yields
    ------
    BinaryIO
        A seekable stream for writing.

    Raises
    ------
    OSError
        The file could not be written; the message says that the old file is untouched. The same
        class and errno as the system reported (`PermissionError`, ENOSPC ...).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with replace_file(target) as stream:
    ...     _ = stream.write(b"complete")
    >>> target.read_bytes()
    b'complete'
    """
    target = Path(os.path.realpath(path))
    temporary = _temporary_name(target)
    with _explained(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has this name")
        # 0o666 lets the kernel apply the umask, as a plain open() would.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with _explained(target):
            with os.fdopen(handle, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def write_file(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` as the whole content of `path`, atomically.

    Parameters
    ----------
    path : str or PathLike
    data : bytes

    Raises
    ------
    OSError
        As `replace_file`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.bin"
    >>> write_file(target, b"1234")
    >>> target.stat().st_size
    4
    """
    with replace_file(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replace_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give an empty folder to write into; its files appear in `path` together when the block ends.

    A new folder appears by one rename. In a folder that exists, each file replaces the one of its
    name and other files stay, so a README that a user put there survives a save; if one of these
    renames fails, those already done are taken back. No system renames several files in one step:
    a power cut in the microseconds between two renames can leave files of both saves, each whole.

    Parameters
    ----------
    path : str or PathLike
        The folder to create or to update.

    Yields
    ------
    Path
        The staging folder. Write plain files into it, and where `path` is new also folders of them.

    Raises
    ------
    OSError
        Something could not be written; what was in `path` before is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "adapter"
    >>> with replace_folder(target) as staging:
    ...     _ = (staging / "config.json").write_text("{}")
    ...     target.exists()
    False
    >>> [p.name for p in target.iterdir()]
    ['config.json']
    """
    import shutil  # costs 10 ms, half of what importing lowbit may take

    target = Path(os.path.realpath(path))
    with _explained(target):
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has this name")
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = _temporary_name(target)
        staging.mkdir()
    try:
        with _explained(target):
            yield staging
            _flush_staging(staging, folders=not target.exists())
            if target.exists():
                _replace_each(staging, target)
            else:
                os.replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _sync_folder(target)
    _sync_folder(target.parent)


def _temporary_name(target: Path) -> Path:
    """A name beside `target` that no other writer uses."""
    return target.parent / f".{target.name[:80]}.{os.urandom(8).hex()}.tmp"


def _flush_staging(staging: Path, folders: bool) -> None:
    """Push every staged file to the disk before any of them gets its real name."""
    for file in staging.iterdir():
        if folders and file.is_dir() and not file.is_symlink():
            _flush_staging(file, folders)
            continue
        if not file.is_file():
            raise OSError(f"{file.name} in the staging folder is no plain file")
        handle = os.open(file, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    _sync_folder(staging)


def _replace_each(staging: Path, target: Path) -> None:
    """Move the staged files into `target`; on a failure put back what had been replaced."""
    names = sorted(file.name for file in staging.iterdir())
    for name in names:
        if (target / name).is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{name} is a folder there")
    backup = staging / "replaced"
    backup.mkdir()
    moved: list[str] = []
    try:
        for name in names:
            if (target / name).exists():
                _keep_copy(target / name, backup / name)
            moved.append(name)
            os.replace(staging / name, target / name)
    except BaseException:
        for name in moved:
            if (backup / name).exists():
                os.replace(backup / name, target / name)
            elif not (staging / name).exists():
                (target / name).unlink(missing_ok=True)
        raise


def _keep_copy(source: Path, backup: Path) -> None:
    """A hard link costs nothing; file systems without them get a copy."""
    try:
        os.link(source, backup)
    except OSError:
        backup.write_bytes(source.read_bytes())
        backup.chmod(stat.S_IMODE(source.stat().st_mode))


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Say with every OSError which save failed and that nothing was lost."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None and os.fspath(target) != str(error.filename):
            reason += f" ({error.filename})"
        state = "the old one is untouched" if target.exists() else "nothing was written"
        message = f"saving {target} failed: {reason}; {state}"
        # OSError picks the subclass that belongs to the number: PermissionError and so on.
        raise OSError(error.errno or errno.EIO, message) from error


def _sync_folder(folder: Path) -> None:
    """Make renames durable. Not all systems can open a folder; then the rename itself must do."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
