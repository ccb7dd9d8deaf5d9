"""The exceptions lowbit raises; every one is also the builtin a caller would expect."""


class FileFormatError(ValueError):
    """A file does not hold what its format promises: truncated, corrupt, or lying about sizes."""
