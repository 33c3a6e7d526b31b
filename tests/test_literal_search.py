"""One search finds exactly the strings that occur, whatever their bytes, with and without the library."""

import importlib
import resource
import subprocess
import sys
import threading
from random import Random

import pytest

from moonmind_appliance.literal_search import LiteralSearch

LONG = b"." * 5000


def test_every_byte() -> None:
    """Strings of any bytes are found in any bytes, in short and in long data, with the same result."""
    random = Random(4)  # noqa: S311
    literals = [bytes([byte, other, 97]) for byte in range(256) for other in (0, 10, 13, 92, 255)]
    search = LiteralSearch(literals)
    # The library is prepared at the third size; then it searches short data, too.
    for size in (0, 40, 3000, 70_000, 0, 40):
        data = random.randbytes(size) + b"".join(random.choices(literals, k=9))
        assert search.present(data) == {index for index, literal in enumerate(literals) if literal in data}


@pytest.mark.parametrize("filler", [b"", LONG])
def test_overlapping_repeated_and_at_the_edges(filler: bytes) -> None:
    """A string within another one, one that occurs often, and ones at the first and last byte."""
    search = LiteralSearch([b"abc", b"b", b"abcd", b"zz", b"absent"])
    assert search.present(b"abcd" + filler + b"zz") == {0, 1, 2, 3}
    assert search.present(b"zzz" * 1000 + filler) == {3}
    assert search.present(filler) == set()


@pytest.mark.parametrize("filler", [b"", LONG])
def test_any_case(filler: bytes) -> None:
    """Only the named strings ignore case."""
    search = LiteralSearch([b"header", b"Exact"], any_case=[b"header"])
    assert search.present(filler + b"HeAdEr exact") == {0}
    assert search.present(b"Exact" + filler) == {1}


def test_no_strings() -> None:
    """Nothing is found, and nothing is compiled."""
    assert LiteralSearch([]).present(LONG) == set()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a server has no library: in long data every string may occur, in short data it is known."""

    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    search = LiteralSearch([b"abc", b"xyz"])
    assert search.present(LONG) == {0, 1}
    assert search.present(b"abc") == {0}


def test_several_threads() -> None:
    """Threads that search at the same time get their own results."""
    search = LiteralSearch([b"one", b"two", b"three"])
    wrong = []

    def work(word: bytes, index: int) -> None:
        wrong.extend(word for _ in range(300) if search.present(LONG + word) != {index})

    threads = [threading.Thread(target=work, args=each) for each in ((b"one", 0), (b"two", 1), (b"three", 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


_COMPILE_A_COSTLY_SET = """
import random
from pathlib import Path
from moonmind_appliance.literal_search import LiteralSearch

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

def compile(number):
    choose = random.Random(0)
    LiteralSearch([b"%016x" % choose.randrange(16**16) for _ in range(number)]).present(bytes(5000))

compile(5)
before = resident_pages()
compile(486)
print(resident_pages() - before)
"""


def test_the_memory_that_preparing_a_search_needs_is_returned() -> None:
    """For some sets of strings the library needs many megabytes, and every new login makes a new set."""
    done = subprocess.run([sys.executable, "-c", _COMPILE_A_COSTLY_SET], capture_output=True, text=True, check=True)
    assert int(done.stdout) * resource.getpagesize() < 6_000_000
