"""Saving must never lose what was there before."""

import errno
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from lowbit.files.atomic import replace_file, replace_folder, write_file
from lowbit.files.safetensors import read_safetensors, write_safetensors


def listing(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_replace_file_keeps_the_old_one_on_exception(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(type(error)), replace_file(tmp_path / "a") as stream:
        stream.write(b"half of the new")
        raise error
    assert listing(tmp_path) == {"a": b"old"}


def test_replace_file_appears_only_when_complete(tmp_path):
    with replace_file(tmp_path / "a") as stream:
        stream.write(b"new")
        assert not (tmp_path / "a").exists()
    assert listing(tmp_path) == {"a": b"new"}


def test_replace_file_keeps_mode_and_symbolic_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_replace_file_gives_new_files_the_usual_mode(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_replace_file_explains_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"saving .* failed: .*; nothing was written"):
        write_file(tmp_path / "absent" / "a", b"new")


def test_replace_file_refuses_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError, match="a folder has this name"):
        write_file(tmp_path / "a", b"new")


FILL = """
import resource, signal, sys
import numpy as np
from lowbit.files.safetensors import write_safetensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_safetensors(sys.argv[1], {"w": np.zeros(1_000_000, np.float32)})
except OSError as error:
    print(error.errno, error)
"""


def test_full_disk_keeps_the_old_file(tmp_path):
    """A file size limit makes write() fail in the middle, as a full disk does."""
    path = tmp_path / "adapter.safetensors"
    write_safetensors(path, {"w": np.arange(3.0)})
    run = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{errno.EFBIG} [Errno {errno.EFBIG}] saving {path} failed" in run.stdout
    assert "the old one is untouched" in run.stdout
    np.testing.assert_array_equal(read_safetensors(path)["w"], np.arange(3.0))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_device_full_is_reported_with_its_errno(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    real = os.open

    def open_full(path, flags, *mode):
        if str(path).endswith(".tmp"):
            return real("/dev/full", os.O_RDWR)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(OSError, match=r"No space left.*the old one is untouched") as caught:
        write_file(tmp_path / "a", b"x" * 100_000)
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "a").read_bytes() == b"old"


def test_replace_folder_creates_all_files_at_once(tmp_path):
    target = tmp_path / "new" / "adapter"
    with replace_folder(target) as staging:
        (staging / "a").write_bytes(b"1")
        (staging / "b").write_bytes(b"2")
        assert not target.exists()
    assert listing(target) == {"a": b"1", "b": b"2"}
    assert os.listdir(target.parent) == ["adapter"]


def test_replace_folder_keeps_files_it_does_not_replace(tmp_path):
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "README.md").write_bytes(b"mine")
    (target / "a").write_bytes(b"old")
    with replace_folder(target) as staging:
        (staging / "a").write_bytes(b"new")
    assert listing(target) == {"README.md": b"mine", "a": b"new"}
    assert os.listdir(tmp_path) == ["adapter"]


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_replace_folder_keeps_the_old_files_on_exception(tmp_path, error):
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "a").write_bytes(b"old")
    with pytest.raises(type(error)), replace_folder(target) as staging:
        (staging / "a").write_bytes(b"new")
        raise error
    assert listing(target) == {"a": b"old"}
    assert os.listdir(tmp_path) == ["adapter"]


def test_replace_folder_takes_back_renames_when_one_fails(tmp_path, monkeypatch):
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "a").write_bytes(b"old a")
    (target / "b").write_bytes(b"old b")
    real = os.replace

    def replace(source, destination):
        if os.path.basename(destination) == "b" and "replaced" not in str(source):
            raise PermissionError(errno.EPERM, "refused")
        real(source, destination)

    monkeypatch.setattr(os, "replace", replace)
    with (
        pytest.raises(PermissionError, match="the old one is untouched"),
        replace_folder(target) as staging,
    ):
        for name in ("a", "b", "c"):
            (staging / name).write_bytes(b"new")
    assert listing(target) == {"a": b"old a", "b": b"old b"}
    assert os.listdir(tmp_path) == ["adapter"]


def test_replace_folder_refuses_a_file(tmp_path):
    (tmp_path / "adapter").write_bytes(b"old")
    with pytest.raises(NotADirectoryError), replace_folder(tmp_path / "adapter"):
        pytest.fail("must not get here")
    assert (tmp_path / "adapter").read_bytes() == b"old"


def test_concurrent_writers_leave_one_complete_file(tmp_path):
    contents = [bytes([65 + i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_file, args=(tmp_path / "a", c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]
