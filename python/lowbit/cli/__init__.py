"""The command `lowbit`: demo, finetune, embed, tokenize, train-tokenizer, doctor.

Results go to standard output, progress to standard error. Exit codes: 0 done, 1 the machine or the
installation is at fault (`doctor`), 2 the input is at fault, 130 interrupted.
"""

from lowbit.cli.main import main

__all__ = ["main"]
