"""Markdown as lines for the terminal."""

import pytest

from tui.markdown import markdown_lines, parts, plain

TEXT = """# Basket

Some *text* and `code`, a [link](https://x.example/y).

- one
- two

```python
def basket():
    return 1
```

| a | b |
| - | - |
| 1 | 2 |

![A cat](cat.png)
"""


def lines(text, width=60):
    return [plain(line) for part in markdown_lines(text, width) for line in part]


def test_every_block_is_shown_as_text():
    """Headings at the left, addresses in full, code unchanged, images by their text; no trailing spaces."""
    assert [line for line in lines(TEXT) if line] == [
        "Basket",
        "Some text and code, a link (https://x.example/y).",
        " • one",
        " • two",
        "│ def basket():",
        "│     return 1",
        " a  b",
        " ────",
        " 1  2",
        "[image: A cat, cat.png]",
    ]


@pytest.mark.parametrize("width", [1, 10, 40])
def test_no_line_is_wider_than_the_screen(width):
    """Including code and long words."""
    text = "word " * 30 + "\n\n```\n" + "x" * 90 + "\n```\n\n" + "y" * 90
    assert max(map(len, lines(text, width))) <= max(width, 3)


def test_the_first_part_does_not_wait_for_the_rest():
    """A screenful is rendered before the whole document."""
    text = "".join(f"## Heading {number}\n\nSome text.\n\n" for number in range(5_000))
    first = next(markdown_lines(text, 60))
    assert plain(first[0]) == "Heading 0"
    assert len(first) < 1_500


def test_parts_join_to_the_whole():
    """Nothing is lost, and each part begins with a heading."""
    text = "".join(f"# H{number}\n\ntext\n" for number in range(50))
    found = parts(text, first=40, later=100)
    assert "".join(found) == text
    assert all(part.startswith("# H") for part in found)
    assert len(found) > 5


def test_a_comment_in_code_is_not_a_heading():
    """Parts end only outside of code blocks."""
    text = "~~~sh\n" + "# comment\n" * 20 + "```\n" + "# comment\n" * 20 + "~~~\n# Heading\n"
    assert parts(text, first=10, later=10) == [text.removesuffix("# Heading\n"), "# Heading\n"]


@pytest.mark.parametrize("text", ["", "\n", "[x", "| a |\n|", "> " * 200 + "deep"])
def test_any_text_is_shown(text):
    """Whatever a model wrote."""
    assert isinstance(lines(text), list)
