"""How an exec ended."""

import pytest

from moonmind_appliance.models import EndReason, ExecOutcome


@pytest.mark.parametrize("ended", list(EndReason))
@pytest.mark.parametrize("code", [0, 1, None])
def test_only_an_exit_with_code_0_is_a_success(ended: EndReason, code: int | None) -> None:
    """The exit code of a command that was ended has no meaning."""
    assert ExecOutcome(ended, code, 1.0).ok is (ended is EndReason.EXITED and code == 0)
