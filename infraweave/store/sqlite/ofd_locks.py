"""Locks of open file descriptions: the kernel's locks that belong to a descriptor, where POSIX locks do not.

POSIX locks belong to a process, and all that it has on a file go as soon as it closes any descriptor of that
file. SQLite knows only those. These here conflict with them like those of another process, and stay until
their own descriptor is closed. Linux has them; elsewhere nothing is locked, and nothing is found locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys

#: ``struct flock`` of Linux: kind, whence, start, length, pid.
_LAYOUT = "@hhqqi0q"
#: What a file system or a kernel says that has no such locks.
_MISSING = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
#: Whether this machine has them.
SUPPORTED = sys.platform == "linux"


def lock(descriptor: int, start: int, length: int, *, shared: bool) -> bool:
    """Lock a range of bytes; return False where somebody else holds it.

    Raises:
        OSError: the file cannot be locked, for a reason other than that.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    return _call(descriptor, "F_OFD_SETLK", kind, start, length) is not None


def unlock(descriptor: int, start: int, length: int) -> None:
    """Let go of a range of bytes."""
    _call(descriptor, "F_OFD_SETLK", fcntl.F_UNLCK, start, length)


def is_locked(descriptor: int, start: int) -> bool:
    """Tell whether somebody else holds a byte; nothing is locked by that."""
    found = _call(descriptor, "F_OFD_GETLK", fcntl.F_WRLCK, start, 1)
    return bool(found) and struct.unpack(_LAYOUT, found or b"")[0] != fcntl.F_UNLCK


def _call(descriptor: int, command: str, kind: int, start: int, length: int) -> bytes | None:
    """Return what the kernel answers, nothing where it has no such locks; None where the range is held."""
    if not SUPPORTED:
        return b""
    request = struct.pack(_LAYOUT, kind, os.SEEK_SET, start, length, 0)
    try:
        answer: bytes = fcntl.fcntl(descriptor, getattr(fcntl, command), request)
    except (BlockingIOError, PermissionError):
        return None
    except OSError as error:
        if error.errno in _MISSING:
            return b""
        raise
    return answer
