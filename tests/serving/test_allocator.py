"""Freed memory returns to the system, whichever thread used it."""

import subprocess
import sys

_FREE_IN_MANY_THREADS = """
import ctypes, threading
from moonmind_appliance.serving.allocator import return_freed_memory

if {limited}:
    return_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(16)

def work():
    block = libc.malloc(1000)
    together.wait()
    libc.free(block)

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stdout = libc.fdopen(1, b"w")
libc.malloc_info(0, stdout)
libc.fflush(None)
"""


def arenas(*, limited: bool) -> int:
    code = _FREE_IN_MANY_THREADS.format(limited=limited)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


def test_threads_share_few_arenas() -> None:
    """Without the limit, each of many threads has an arena, as far as the number of cores permits."""
    assert arenas(limited=True) == 2
    assert arenas(limited=False) > 2
