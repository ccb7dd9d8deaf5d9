"""Runs of the command lowbit inside the tests."""

from lowbit.cli import main


def shown(capsys, *words: object) -> str:
    """What a command that goes well prints."""
    code = main(["tokenize", *map(str, words)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def refused(capsys, *words: object) -> str:
    """The one line that says why a command does not go."""
    code = main([*map(str, words)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "") and err.count("\n") == 1
    return err.removeprefix("lowbit: error: ").rstrip("\n")
