"""Locks of open file descriptions (OFD): file locks that belong to a descriptor instead of a process.

A process loses all its POSIX locks on a file when it closes any descriptor of that file, and SQLite uses
POSIX locks. OFD locks conflict with them like the locks of another process, and stay until their own
descriptor is closed. Linux has them. On other systems nothing is locked here, and nothing is found locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys

#: ``struct flock`` of Linux: kind, whence, start, length, pid.
_LAYOUT = "@hhqqi0q"
#: Errors of file systems and kernels without such locks.
_MISSING = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
#: Whether this system has them.
SUPPORTED = sys.platform == "linux"


def lock(descriptor: int, start: int, length: int, *, shared: bool) -> bool:
    """Lock a range of bytes; return False if somebody else has locked it.

    Raises:
        OSError: the file cannot be locked for another reason.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    return _call(descriptor, "F_OFD_SETLK", kind, start, length) is not None


def unlock(descriptor: int, start: int, length: int) -> None:
    """Unlock a range of bytes."""
    _call(descriptor, "F_OFD_SETLK", fcntl.F_UNLCK, start, length)


def is_locked(descriptor: int, start: int) -> bool:
    """Tell whether somebody else has locked a byte, without locking it."""
    found = _call(descriptor, "F_OFD_GETLK", fcntl.F_WRLCK, start, 1)
    return bool(found) and struct.unpack(_LAYOUT, found or b"")[0] != fcntl.F_UNLCK


def _call(descriptor: int, command: str, kind: int, start: int, length: int) -> bytes | None:
    """Return the kernel's answer, empty if it has no such locks; None if the range is locked."""
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
