"""What this process, TensorFlow and TensorRT included, has written to standard error."""

from __future__ import annotations

import os
import stat
import sys


class OwnLog:
    """Standard error read back, where it is a file."""

    def position(self) -> int | None:
        """Where the next line will stand; None where standard error is no file."""
        sys.stderr.flush()
        status = os.fstat(2)
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def lines(self, start: int | None, end: int | None = None) -> tuple[str, ...] | None:
        """The lines between two positions; None where nothing can be read back."""
        if start is None or self.position() is None:
            return None
        with open("/proc/self/fd/2", "rb") as log:
            log.seek(start)
            text = log.read() if end is None else log.read(end - start)
        return tuple(text.decode(errors="replace").splitlines())
