"""The sample project of a rehearsal without a repository of the operator: small, with the structure of a real one."""

from collections.abc import Mapping
from textwrap import dedent

_FILES = {
    "README.md": """
        # Reading list

        Keeps a list of books to read in one JSON file.

            $ reading-list add "The Left Hand of Darkness"
            $ reading-list show

        Run the tests with `python -m unittest`.
        """,
    ".gitignore": """
        __pycache__/
        *.egg-info/
        build/
        """,
    ".github/workflows/tests.yml": """
        name: tests
        on: [pull_request]
        jobs:
          unittest:
            runs-on: ubuntu-latest
            steps:
              - uses: actions/checkout@v4
              - run: python -m unittest
        """,
    "pyproject.toml": """
        [build-system]
        requires = ["setuptools>=68"]
        build-backend = "setuptools.build_meta"

        [project]
        name = "reading-list"
        version = "0.3.0"
        description = "A list of books to read."
        requires-python = ">=3.11"

        [project.scripts]
        reading-list = "reading_list.cli:main"
        """,
    "reading_list/__init__.py": '''
        """A list of books to read."""
        ''',
    "reading_list/books.py": '''
        """The list itself, kept in one JSON file."""

        import json
        from pathlib import Path


        class ReadingList:
            def __init__(self, path: Path) -> None:
                self.path = path

            def titles(self) -> list[str]:
                if not self.path.exists():
                    return []
                return json.loads(self.path.read_text(encoding="utf-8"))

            def add(self, title: str) -> bool:
                """Add a title at the end; False where it is on the list already."""
                titles = self.titles()
                if title in titles:
                    return False
                self.path.write_text(json.dumps([*titles, title], indent=2), encoding="utf-8")
                return True
        ''',
    "reading_list/cli.py": '''
        """The command line: `reading-list add TITLE` and `reading-list show`."""

        import argparse
        from pathlib import Path

        from reading_list.books import ReadingList


        def main() -> None:
            parser = argparse.ArgumentParser(prog="reading-list")
            parser.add_argument("--file", type=Path, default=Path("reading-list.json"))
            commands = parser.add_subparsers(dest="command", required=True)
            commands.add_parser("add").add_argument("title")
            commands.add_parser("show")
            options = parser.parse_args()
            books = ReadingList(options.file)
            if options.command == "add":
                print("Added." if books.add(options.title) else "It is on the list already.")
            else:
                print("\\n".join(books.titles()) or "Nothing to read.")
        ''',
    "tests/__init__.py": "",
    "tests/test_books.py": """
        import tempfile
        import unittest
        from pathlib import Path

        from reading_list.books import ReadingList


        class ReadingListTest(unittest.TestCase):
            def test_a_title_is_listed_once(self) -> None:
                with tempfile.TemporaryDirectory() as folder:
                    books = ReadingList(Path(folder) / "books.json")
                    self.assertTrue(books.add("Kindred"))
                    self.assertFalse(books.add("Kindred"))
                    self.assertEqual(books.titles(), ["Kindred"])
        """,
}

SAMPLE_PROJECT: Mapping[str, str] = {path: dedent(text).lstrip("\n") for path, text in _FILES.items()}
