"""What a run changed, on the screen."""

import pytest

from tests.tui.attached import until
from tests.tui.text_page import lines_of, open_texts

pytestmark = pytest.mark.anyio


PATCH = b"""diff --git a/a.md b/a.md
new file mode 100644
--- /dev/null
+++ b/a.md
@@ -0,0 +1 @@
+\x1b[2Jone
diff --git a/b.md b/b.md
--- a/b.md
+++ b/b.md
@@ -1 +1 @@
-old
+new
"""


async def test_a_change_begins_with_its_summary(attached):
    """Then the omitted files, then the changed files, without control characters."""
    app = attached.app()
    async with app.run_test() as pilot:
        _, diff = await open_texts(app, pilot)
        diff.show(PATCH, "# Change\n\nLeft out of the commit:\n\n- `x.key`: a secret\n")
        await until(pilot, lambda: diff.line_count > 0)
        assert lines_of(diff) == [
            "2 files changed, 2 lines added, 1 removed.",
            " A +1 -0 +++++      a.md",
            " M +1 -1 +++++----- b.md",
            "",
            "Left out of the commit:",
            "- `x.key`: a secret",
            "",
            "a.md  added, +1 -0",
            "@@ -0,0 +1 @@",
            "+one",
            "",
            "b.md  modified, +1 -1",
            "@@ -1 +1 @@",
            "-old",
            "+new",
        ]


async def test_going_from_file_to_file(attached):
    """It stops at the last one."""
    app = attached.app()
    async with app.run_test() as pilot:
        _, diff = await open_texts(app, pilot)
        diff.show(PATCH)
        await until(pilot, lambda: diff.line_count > 0)
        seen = []
        for step in (1, 1, 1, -1):
            diff.next_file(step)
            seen.append(diff.plain(diff.cursor))
        assert seen == ["a.md  added, +1 -0", "b.md  modified, +1 -1", "b.md  modified, +1 -1", "a.md  added, +1 -0"]
