"""The header of a run's screen. Pure."""

from rich.text import Text

from moonmind_appliance.views.run_detail import RunDetail
from tui.signs import Palette, run_sign
from tui.text import one_line


def header_text(run: RunDetail, palette: Palette, width: int) -> Text:
    """One line of `width` cells: id, repository, branches; at the right the status."""
    sign = run_sign(run.status, waiting=run.waiting_for is not None)
    right = Text(f"{sign.mark} {sign.word.upper()} ", palette.tone(sign.tone))
    left = Text.assemble(" ", (run.short_id, palette.strong), "  ", (one_line(run.repository), palette.strong))
    left.append(f"  {one_line(run.base_branch)}", palette.muted)
    if run.branch_name:
        left.append(f" → {one_line(run.branch_name)}", palette.muted)
    left.append("  dry run" if run.dry_run else "")
    left.append(f"  {one_line(run.external_ref)}" if run.external_ref else "", palette.muted)
    width -= right.cell_len
    left.truncate(max(0, width - 1), overflow="ellipsis", pad=False)
    left.append(" " * max(1, width - left.cell_len))
    left.append_text(right)
    left.no_wrap = True
    return left
