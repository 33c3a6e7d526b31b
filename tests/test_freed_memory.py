"""Freed memory returns to the system, whichever thread used it."""

import resource
import subprocess
import sys

_FREE_IN_MANY_THREADS = """
import ctypes, threading
from moonmind_appliance.freed_memory import share_arenas

if {limited}:
    share_arenas()
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


_FREE_ALL_BUT_THE_LAST = """
import ctypes
from pathlib import Path
from moonmind_appliance.freed_memory import return_to_system

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

libc = ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
blocks = [libc.calloc(1, 60_000) for _ in range(1_000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
for block in blocks[:-1]:
    libc.free(block)
before = resident_pages()
return_to_system()
print(before - resident_pages())
"""


def test_freed_blocks_below_a_used_one_are_returned() -> None:
    """60 MB were freed, and glibc by itself returns only what is at the end."""
    done = subprocess.run([sys.executable, "-c", _FREE_ALL_BUT_THE_LAST], capture_output=True, text=True, check=True)
    assert int(done.stdout) * resource.getpagesize() > 50_000_000
