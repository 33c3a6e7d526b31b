"""Programs for both engines: the shell command for the real one, and the function for the fake one."""

from tests.containers.fake_exec import FakeExec

from .conftest import WORK, Program


def _says(stdout: bytes = b"", stderr: bytes = b"", code: int = 0):
    def answer(process: FakeExec) -> int:
        process.stdout.write(stdout)
        process.stderr.write(stderr)
        return code

    return answer


def _says_and_waits(process: FakeExec) -> int:
    process.stdout.write(b"begun\n")
    process.sleep(60)
    return 0


def _waits_for_go(process: FakeExec) -> int:
    process.stdout.write(b"first\n")
    while process.read_file(f"{WORK}/go") is None:
        process.sleep(0.01)
    process.stdout.write(b"second\n")
    return 0


def _ticks(count: int, pause: float):
    def answer(process: FakeExec) -> int:
        for _ in range(count):
            process.stdout.write(b"tick\n")
            process.sleep(pause)
        return 0

    return answer


TRUE = Program("true", 0)


SAY = Program("echo out; echo err >&2; exit 7", _says(b"out\n", b"err\n", 7))


SAY_AND_WAIT = Program("echo begun; sleep 60", _says_and_waits)


WAIT_FOR_GO = Program(f"echo first; until [ -e {WORK}/go ]; do sleep 0.05; done; echo second", _waits_for_go)


CHATTER = Program("while :; do echo tick; sleep 0.02; done", _ticks(100_000, 0.02))


SLOW_TICKS = Program("for i in 1 2 3 4 5 6; do echo tick; sleep 0.5; done", _ticks(6, 0.5))
