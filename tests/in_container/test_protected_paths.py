"""Which paths a pattern protects."""

import pytest

from moonmind_appliance.in_container.protected_paths import ProtectedPaths
from moonmind_appliance.in_container.protected_patterns import DEFAULT

PROTECTED = [
    ".github/workflows/ci.yml",
    ".github/workflows/deep/er.yml",
    ".github/workflows",
    ".github/actions/build/action.yml",
    "tools/action.yaml",
    ".gitlab-ci.yml",
    "ci/test.gitlab-ci.yml",
    ".circleci/config.yml",
    "Jenkinsfile",
    "services/web/Jenkinsfile.release",
    "azure-pipelines.yml",
    "azure-pipelines/build.yml",
    ".travis.yml",
    ".drone.yml",
    ".buildkite/pipeline.yml",
    "bitbucket-pipelines.yml",
    ".gitattributes",
    "docs/.gitattributes",
    ".gitmodules",
    ".husky/pre-commit",
    "frontend/.husky/pre-push",
    ".githooks/post-checkout",
    ".pre-commit-config.yaml",
    "CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    ".devcontainer/devcontainer.json",
    ".devcontainer.json",
    ".vscode/tasks.json",
    "packages/a/.vscode/settings.json",
    "shop.code-workspace",
    ".envrc",
    ".mcp.json",
    "sub/.claude/settings.json",
]
# As a file system, a checkout or a reader may treat the names.
VARIANTS = [
    ".GitHub/Workflows/CI.yml",
    ".github /workflows./x.yml",
    ".g\u200cithub/workflows/x.yml",
    ".github\\workflows\\x.yml",
    ".GITATTRIBUTES",
    ".gitattributes::$DATA",
    ".g\u0131thub/../.gitmodules ",
    "\u017fub/.hu\u017fky/pre-commit",
    ".vscode/ta\u017fks.json",
    "CODEOWNER\u017f",
    "Jen\u212ainsfile",
]
FREE = [
    "specs/001-dark-mode/spec.md",
    ".specify/feature.json",
    ".specify/memory/constitution.md",
    ".agents/skills/speckit-plan/SKILL.md",
    ".github/skills/speckit-plan/SKILL.md",
    ".github/prompts/speckit.plan.prompt.md",
    ".github/agents/speckit.plan.agent.md",
    ".claude/skills/speckit-plan/SKILL.md",
    ".gemini/commands/speckit.plan.toml",
    ".github/ISSUE_TEMPLATE/bug.md",
    ".github",
    "docs/workflows/ci.yml",
    "docs/.github/workflows/ci.yml",
    "src/CODEOWNERS",
    "workflows/ci.yml",
    "README.md",
    ".gitignore",
    "my.gitattributes.md",
    "src/transaction.yml",
]


@pytest.mark.parametrize("path", PROTECTED)
def test_the_default_covers_what_is_executed_unread(path: str) -> None:
    """Files of continuous integration, Git, hooks, code owners, editors and agents are covered."""
    assert ProtectedPaths(DEFAULT).covers(path)


@pytest.mark.parametrize("path", VARIANTS)
def test_names_are_compared_as_the_most_lenient_file_system_does(path: str) -> None:
    """Case, ignored characters, trailing blanks and dots, and streams do not matter. A backslash separates names."""
    assert ProtectedPaths(DEFAULT).covers(path)


@pytest.mark.parametrize("path", FREE)
def test_the_default_does_not_cover_what_spec_kit_writes_and_other_files(path: str) -> None:
    """This includes what `specify init` writes below .github, and names that only resemble protected ones."""
    assert not ProtectedPaths(DEFAULT).covers(path)


@pytest.mark.parametrize(
    ("pattern", "covered", "free"),
    [
        ("Makefile", ["Makefile", "a/b/Makefile", "makefile", "Makefile/x"], ["Makefile.am", "aMakefile"]),
        ("/Makefile", ["Makefile"], ["a/Makefile"]),
        ("a/b", ["a/b", "a/b/c/d"], ["x/a/b", "a", "a/bc"]),
        ("hooks/", ["hooks", "hooks/x", "a/hooks/x"], ["hook"]),
        ("a/**", ["a", "a/b", "a/b/c"], ["b/a"]),
        ("**/a/b", ["a/b", "x/y/a/b", "a/a/b"], ["a/x/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b/z"], ["a/x", "x/a/b"]),
        ("*.sh", ["x.sh", "a/x.sh", ".sh"], ["x.sh2"]),
        ("ci/*.yml", ["ci/a.yml"], ["ci/x/a.yml", "x/ci/a.yml"]),
        ("ci?", ["ci1"], ["ci", "c/i", "ci/1"]),
        ("[Cc]I", ["ci", "cI"], ["xi"]),
        ("[^a]x", ["bx", "d/^x"], ["ax", "AX"]),
        ("[!a]x", ["bx"], ["ax"]),
        ("[^]a]x", ["bx"], ["]x", "ax"]),
        ("[b[^]x", ["[x", "^x"], ["cx", "!x"]),
        ("[^ax", ["[^ax"], ["bx"]),
        ("größe", ["GRÖSSE", "gro\u0308ße"], ["grosse"]),
    ],
)
def test_a_pattern_is_read_as_in_a_gitignore_file(pattern: str, covered: list[str], free: list[str]) -> None:
    """It is relative to the root if it contains a slash, else it matches at any depth. It covers everything below."""
    paths = ProtectedPaths([pattern])
    assert [path for path in covered if not paths.covers(path)] == []
    assert [path for path in free if paths.covers(path)] == []


def test_an_exception_prevails_in_any_order_and_is_compared_exactly() -> None:
    """Another spelling of an allowed path may be another file in the repository."""
    for patterns in ([*DEFAULT, "!.vscode/settings.json"], ["!.vscode/settings.json", *DEFAULT]):
        paths = ProtectedPaths(patterns)
        assert not paths.covers(".vscode/settings.json")
        assert paths.covers(".vscode/tasks.json")
        assert paths.covers(".VSCODE/settings.json")


@pytest.mark.parametrize("path", [".github", ".GITHUB", ".claude", "x/.claude", "docs", ".gitlab", ".github "])
def test_the_folders_above_protected_paths_are_known(path: str) -> None:
    """A link that replaces such a folder would replace its files."""
    assert ProtectedPaths(DEFAULT).on_the_way(path)


@pytest.mark.parametrize("path", ["specs", "src", ".specify", "x/docs", ".agents", "github"])
def test_other_folders_are_not_above_protected_paths(path: str) -> None:
    """A pattern for any depth does not make every folder one of them."""
    assert not ProtectedPaths(DEFAULT).on_the_way(path)


def test_wildcards_between_folders_are_on_the_way() -> None:
    """They count only after a name of the pattern has matched."""
    paths = ProtectedPaths(["a/**/b", "**/ho*/x"])
    assert [path for path in ("a", "a/c", "c", "hooks", "y/hook", "y") if paths.on_the_way(path)] == [
        "a",
        "a/c",
        "hooks",
        "y/hook",
    ]


def test_what_the_bases_links_lead_to_is_protected() -> None:
    """Links at a protected path or a folder above one, and links to links; also below another spelling of a name."""
    paths = ProtectedPaths(DEFAULT)
    paths.follow(
        {
            ".gitlab-ci.yml": "ci/gitlab.yml",
            ".github": "config/github",
            "docs": "./documentation",
            ".husky": "tools/hooks",
            "tools/hooks": "../scripts/hooks",
            "README.md": "docs/index.md",
            ".travis.yml": "/etc/passwd",
            ".drone.yml": "../outside.yml",
        }
    )
    for path in (
        "ci/gitlab.yml",
        "CI/gitlab.yml",
        "config/github/workflows/x.yml",
        "documentation/CODEOWNERS",
        "tools/hooks/pre-commit",
        "scripts/hooks/pre-commit",
    ):
        assert paths.covers(path), path
    for path in ("config/github/labels.yml", "documentation/index.md", "docs/index.md", "outside.yml", "etc/passwd"):
        assert not paths.covers(path), path
    assert paths.on_the_way("config/github")


MIDDLE = [
    ({".gitlab-ci.yml": "link/ci.yml", "link": "real"}, ["link/ci.yml", "real/ci.yml"], ["link", "real"]),
    (
        {".github": "conf/gh", "conf": "real"},
        ["conf/gh/workflows/x.yml", "real/gh/workflows/x.yml"],
        ["conf", "conf/gh", "real", "real/gh"],
    ),
    ({"a/.travis.yml": "../b/c/t", "b": "d", "d/c": "../e"}, ["b/c/t", "d/c/t", "e/t"], ["b", "d", "d/c", "e"]),
    # The system applies `..` to the target of the link, not to its path.
    ({".gitlab-ci.yml": "link/../ci.yml", "link": "deep/real"}, ["ci.yml", "deep/ci.yml"], ["link", "deep"]),
]


@pytest.mark.parametrize(("links", "covered", "on_the_way"), MIDDLE)
def test_links_in_the_middle_of_a_target_are_followed(
    links: dict[str, str], covered: list[str], on_the_way: list[str]
) -> None:
    """The file to which they lead is protected, and so are these links and the folders above the file."""
    paths = ProtectedPaths(DEFAULT)
    paths.follow(links)
    assert [path for path in covered if not paths.covers(path)] == []
    assert [path for path in on_the_way if not paths.on_the_way(path)] == []
    for path in ("real/other", "other", "deep", "deep/real/ci.yml", "e"):
        assert not paths.covers(path)
    assert not paths.on_the_way("other")


def test_links_in_the_middle_that_leave_the_repository_end() -> None:
    """Absolute ones, those above the root, and circles."""
    paths = ProtectedPaths(DEFAULT)
    paths.follow({".travis.yml": "a/x", "a": "/etc", ".drone.yml": "b/x", "b": "../..", ".husky": "c/x", "c": "c"})
    assert [path for path in ("a/x", "b/x", "c/x") if not paths.covers(path)] == []
    assert [path for path in ("etc/x", "x", "etc") if paths.covers(path)] == []


def test_several_links_to_one_folder_are_all_followed() -> None:
    """Its files have several names, each of which may be protected."""
    paths = ProtectedPaths(DEFAULT)
    paths.follow({".github": "conf", ".claude": "conf", "CODEOWNERS": "link/owners", "link": "conf"})
    for path in ("conf/workflows/x.yml", "conf/settings.json", "conf/owners"):
        assert paths.covers(path), path


def test_links_below_a_protected_name_at_any_depth_are_followed() -> None:
    """Also if no pattern is as long as the path to the link."""
    paths = ProtectedPaths(["**/.claude/settings.json"])
    paths.follow({"sub/.claude": "../other"})
    assert paths.on_the_way(".claude")
    assert paths.covers("other/settings.json")
    assert not paths.covers("other/x.json")


def test_links_in_a_circle_end() -> None:
    """The base may contain anything."""
    paths = ProtectedPaths(DEFAULT)
    paths.follow({".husky": "a", "a": "b", "b": ".husky", ".github": ".github/x"})
    assert paths.covers("b/pre-commit")
    assert not paths.covers("c/pre-commit")


def test_many_links_in_circles_end_soon() -> None:
    """A file then has countless names, of which some are compared."""
    paths = ProtectedPaths(["a/**/b"])
    paths.follow({f"a/{number}": "." for number in range(100)})
    assert paths.covers("a/7/b")
    assert not paths.covers("/".join(["a"] * 500))


def test_without_patterns_nothing_is_protected() -> None:
    """PROTECTED_PATHS=none protects no path."""
    paths = ProtectedPaths([])
    paths.follow({".github": "x"})
    assert not paths.covers(".github/workflows/ci.yml")
    assert not paths.on_the_way(".github")


def test_a_long_hostile_name_takes_linear_time() -> None:
    """With many wildcards and a name that almost matches, quadratic time would not end within the test."""
    paths = ProtectedPaths(["*a*a*a*a*a*a*a*a*a*a*b", "**/x/**/x/**/x/**/y"])
    assert not paths.covers("a" * 255)
    assert not paths.covers("/".join(["x"] * 2000))
