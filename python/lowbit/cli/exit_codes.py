"""What the commands return to the shell."""

OK = 0
FAILED_CHECK = 1  # the machine or the installation does not do what it should
INPUT_AT_FAULT = 2
INTERRUPTED = 130  # 128 + SIGINT
NOBODY_READS = 141  # 128 + SIGPIPE
