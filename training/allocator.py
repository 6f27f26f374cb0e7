"""The C library's memory allocator, told to keep what a training step frees."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Keep freed activations in the process instead of returning their pages to the kernel after every operation.

    By default glibc maps large tensors anew each time, and the page faults cost as much as the arithmetic: element-wise
    operations on 6 MB run eight times faster this way. Returns whether the allocator took the settings (glibc only).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl and others
        return False
    settings = {_M_MMAP_THRESHOLD: 32 << 20, _M_TRIM_THRESHOLD: (1 << 31) - 1, _M_TOP_PAD: 64 << 20}
    return all([bool(mallopt(option, value)) for option, value in settings.items()])
