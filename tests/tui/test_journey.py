"""The program on a real pseudo-terminal: keys typed ahead, and the state of the terminal at the end."""

from moonmind_appliance.models import RunStatus
from tests.tui.terminal import opened

ENTER, ESCAPE = "\r", "\x1b"


def test_finding_a_run_reading_its_log_and_cancelling_another(prepared):
    """Keys come in bursts; at the end the terminal's modes are restored."""
    attached, runs, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("6 runs")
        terminal.wait("serve: not running")
        terminal.type("/bill")
        terminal.wait("2 of 6 runs")
        terminal.type(f"{ENTER}j{ENTER}")
        terminal.wait("FAILED")
        terminal.wait("-301 of 301")
        terminal.type(f"/line 7{ENTER}n")
        terminal.wait("find: line 7 2/11")
        terminal.type(ESCAPE)
        terminal.wait(lambda text: "find:" not in text)
        terminal.type("]]")
        terminal.wait("The submitted specification")
        terminal.type(ESCAPE)
        terminal.wait("2 of 6 runs")
        terminal.type("gx")
        terminal.wait("Cancel run")
        terminal.type("y")
        terminal.wait("is cancelled.")
        assert attached.store.runs.get(runs["waiting"].run_id).status is RunStatus.CANCELLED
        terminal.type("q")
        assert terminal.ended() == 0
        assert terminal.modes == set()
        assert b"Traceback" not in terminal.written


def test_a_terminal_that_cannot_move_its_cursor_is_refused(prepared):
    """One error line, exit code 2, and no mode is enabled."""
    _, _, environment = prepared
    with opened({**environment, "TERM": "dumb"}, columns=200) as terminal:
        assert terminal.ended() == 2
        assert "error: The terminal interface needs a terminal that can move its cursor" in terminal.text
        assert terminal.modes == set()


def test_a_newer_database_is_reported(prepared):
    """With its version and what to do."""
    attached, _, environment = prepared
    with attached.store.database.write() as connection:
        connection.execute("INSERT INTO migrations VALUES ('m9999_future', '2030-01-01')")
    with opened(environment, columns=200) as terminal:
        assert terminal.ended() != 0
        assert "was created by a newer version of the appliance" in terminal.text


def test_a_dry_run_chosen_and_submitted_in_one_burst_is_a_dry_run(prepared):
    """Ctrl-S does not overtake the keys before it."""
    attached, _, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("6 runs")
        terminal.type("nacme/burst\t\t\t\t \t# Title\x13")
        terminal.wait("is accepted.")
        terminal.type("q")
        assert terminal.ended() == 0
    (run,) = [run for run in attached.store.run_lists.queued() if run.repository == "acme/burst"]
    assert run.dry_run
    assert attached.store.runs.specification(run.run_id) == "# Title"


def test_a_key_typed_ahead_of_a_run_page_acts_on_it(prepared):
    """`l` and `e` in one burst."""
    _, _, environment = prepared
    with opened(environment) as terminal:
        terminal.wait("6 runs")
        terminal.type("/bill")
        terminal.wait("2 of 6 runs")
        terminal.type("\rjle")
        terminal.wait("FAILED")
        terminal.type("q")
        assert terminal.ended() == 0
        assert b"defect" not in terminal.written
