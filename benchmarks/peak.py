"""`python -m benchmarks.peak COMMAND...`: run a command and print its peak resident memory in bytes.

A process of its own, because on Linux a child inherits the peak of the process that starts it: started from the
benchmark itself, with torch and a model in memory, no command would seem to take less than that.
"""

from __future__ import annotations

import os
import subprocess
import sys

# ru_maxrss is in bytes on macOS and in KiB elsewhere.
_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> int:
    """Print the peak; end as the command ended."""
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    sys.stdout.write(f"{usage.ru_maxrss * _UNIT}\n")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
