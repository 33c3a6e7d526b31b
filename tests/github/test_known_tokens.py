"""An App's tokens are known to the redactor before their first use."""

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.app import Known, ShiftedClock, app_of, register
from tests.github.stand_in import SLUG


def test_each_token_is_known_to_the_redactor_before_its_first_use(stand_in: StandInGitHub) -> None:
    """So is each JWT. Clients have separate names. Their tokens are forgotten when none of them can be valid."""
    register(stand_in)
    known, clock = Known(stand_in), ShiftedClock(stand_in)
    app = app_of(stand_in, known=known, clock=clock)
    first, second = app.client(SLUG), app.client(SLUG)
    token = first.tokens.current()
    (_, jwt, before), (source, learnt, at) = known.learnt
    assert (jwt.count("."), before, learnt, at) == (2, 0, token.reveal(), 2)
    second.tokens.current()
    assert known.learnt[-1][0] != source
    first.tokens.end()
    assert known.forgotten == []
    clock.advance(3700)
    second.tokens.end()
    assert known.forgotten == [source]
