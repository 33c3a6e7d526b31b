"""What the user has to do in a browser."""

from moonmind_appliance.cli.prompt_panel import qr_code


def test_a_qr_code_is_square_enough() -> None:
    """Half blocks: two rows of modules per line, with a quiet zone."""
    rows = qr_code("https://auth.openai.com/codex/device").plain.splitlines()
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == (len(rows[0]) + 1) // 2
    assert set("".join(rows)) <= set("█▀▄ ")
