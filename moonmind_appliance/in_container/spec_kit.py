"""Which Spec Kit a run uses: the repository's own, or the job image's. Pure: reads a tree through `Tree`.

The files of two versions are not compatible, so a run uses the scripts, templates and skills of one version. The rules
were checked against the files of Spec Kit 0.0.20 to 1.2.3.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any, Protocol

SKILLS = tuple(f".agents/skills/speckit-{phase}/SKILL.md" for phase in ("specify", "plan", "tasks"))
"""The files by which Codex finds the skill of each phase."""
TEMPLATES = ("spec-template.md", "plan-template.md", "tasks-template.md")
CONSTITUTION = ".specify/memory/constitution.md"
CODEX = "codex"
"""The key of Spec Kit's integration for Codex."""

_DEEPEST_LINK = 40
# Every function that a version's common.sh defines for the other scripts.
_SHARED_FUNCTIONS = (
    "check_dir",
    "check_feature_branch",
    "check_file",
    "feature_json_matches_feature_dir",
    "find_feature_dir_by_prefix",
    "find_specify_root",
    "format_speckit_command",
    "get_current_branch",
    "get_feature_dir",
    "get_feature_paths",
    "get_invoke_separator",
    "get_repo_root",
    "has_git",
    "has_jq",
    "json_escape",
    "read_feature_json_feature_directory",
    "resolve_specify_init_dir",
    "resolve_template",
    "resolve_template_content",
    "spec_kit_effective_branch_name",
)
_SCRIPT = re.compile(r"(?<![\w/-])(?:\.specify/)?scripts/(bash|powershell|python)/([\w.-]+\.(?:sh|ps1|py))\b")
_FUNCTION = re.compile(r"^[ \t]*(?:function[ \t]+(?=\w+\s*[({])|(?=\w+[ \t]*\(\)))(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_COMMAND_FILE = re.compile(r"speckit[.-](?:specify|plan|tasks)\b")
_TASK = re.compile(r"^[ \t]*[-*+][ \t]+\[ \][ \t]+[^\w\n]{0,20}T\d{2,}\b", re.MULTILINE)
# The sections that the image's skills fill, by the beginning of their headings in lower case.
_SECTIONS = {
    "spec-template.md": ("user scenarios", "requirements", "success criteria"),
    "plan-template.md": ("summary", "technical context", "constitution check", "project structure"),
    "tasks-template.md": (),
}


class Tree(Protocol):
    """The files of a commit. Paths are relative, with `/`; no method follows a link."""

    def kind(self, path: str) -> str:
        """`file`, `folder`, `link`, or "" if there is nothing (or a submodule)."""

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; empty for anything else."""

    def text(self, path: str) -> str:
        """A file's text, or a link's target; "" for anything else, and for a file that is too large."""


class LinkLeavesRepository(Exception):
    """A symbolic link at the place of Spec Kit's files points outside the repository."""

    def __init__(self, link: str, target: str) -> None:
        super().__init__(f"{link} is a link to {target}, outside the repository")
        self.link, self.target = link, target


class _NotUsable(Exception):
    """Why the repository's own Spec Kit is not used: a short name for it, and a sentence without its full stop."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def choose(tree: Tree, integration: str = CODEX) -> dict[str, Any]:
    """The Spec Kit that a run uses in this tree, with an agent of that integration.

    Returns:
        `used`: `repository` or `image`. `kind`: a short name of what was found, see docs/repositories.md. `reason`: one
        sentence. `version`: the repository's, "" if it is unknown. `templates`: those of the repository that are used
        although the rest is the image's. `constitution`: whether the repository has one. `notes`: what else the
        repository's users should know. `problem`: why no run is possible, "" if one is.
    """
    found: dict[str, Any] = {"used": "image", "kind": "", "reason": "", "version": "", "templates": {}}
    found |= {"constitution": False, "notes": [], "problem": ""}
    try:
        for path in (".specify", *(f".specify/{name}" for name in ("memory", "scripts", "templates"))):
            locate(tree, path)
        for path in (".agents", ".agents/skills", *(posixpath.dirname(skill) for skill in SKILLS)):
            locate(tree, path)
        found["version"] = _version(tree)
        found["constitution"] = bool(read(tree, CONSTITUTION).strip())
        found["notes"] = list(_notes(tree))
        try:
            _check(tree, integration)
        except _NotUsable as reason:
            templates, unused = _fitting_templates(tree)
            found |= {"kind": reason.kind, "reason": f"{reason}.", "templates": templates}
            found["notes"] += [
                f"Its {path} is not used: it lacks parts that the appliance's skills fill." for path in unused
            ]
        else:
            found |= {"used": "repository", "kind": "complete", "reason": "It is complete."}
    except LinkLeavesRepository as error:
        problem = f"{error}. Spec Kit's files must be in the repository."
        found |= {"kind": "link_outside", "reason": problem, "problem": problem}
    return found


def locate(tree: Tree, path: str) -> str | None:
    """The path with all its links resolved; None if there is nothing, or a loop of links.

    Raises:
        LinkLeavesRepository: a link on the way points outside the repository, or into `.git`.
    """
    left, done, links = path.split("/"), "", 0
    while left:
        part = left.pop(0)
        if part == "..":
            done = posixpath.dirname(done)
            continue
        here = posixpath.join(done, part)
        kind = tree.kind(here)
        if kind == "link":
            links += 1
            target = tree.text(here)
            inside = posixpath.normpath(posixpath.join(done, target))
            if target.startswith("/") or inside.split("/")[0] in ("..", ".git"):
                raise LinkLeavesRepository(here, target)
            if links > _DEEPEST_LINK:
                return None
            left = [step for step in target.split("/") if step not in ("", ".")] + left
        elif not kind:
            return None
        else:
            done = here
    return done or "."


def read(tree: Tree, path: str) -> str:
    """The text of a file, also through links inside the repository; "" if there is none."""
    real = locate(tree, path)
    return tree.text(real) if real is not None and tree.kind(real) == "file" else ""


def _check(tree: Tree, integration: str) -> None:
    """Return if the repository's own Spec Kit is complete and its parts are compatible with each other.

    Raises:
        _NotUsable: why not.
    """
    top = locate(tree, ".specify")
    if top is None:
        if tree.kind(".specify") == "link":
            raise _NotUsable("link_broken", ".specify is a link to something that does not exist")
        if any(locate(tree, skill) for skill in SKILLS):
            raise _NotUsable("no_specify", "It has skills, but no folder .specify with their scripts and templates")
        raise _NotUsable("none", "It has no Spec Kit")
    if tree.kind(top) != "folder":
        raise _NotUsable("not_a_folder", ".specify is not a folder")
    options = _json(tree, ".specify/init-options.json")
    if options.get("script") == "ps":
        raise _NotUsable("powershell", "Its scripts are for PowerShell (.specify/init-options.json), and runs use bash")
    commands = _skills(tree, options) if integration == CODEX else _commands(tree, integration)
    _same_version(tree, integration)
    scripts = set(_scripts(tree, commands))
    for script in sorted(scripts):
        _fits(tree, script)
    for name in TEMPLATES:
        if not any(_template_paths(tree, name)):
            raise _NotUsable("incomplete", f"It has no .specify/templates/{name}")


def _skills(tree: Tree, options: dict[str, Any]) -> dict[str, str]:
    """The text of each skill for Codex, by its path."""
    texts = {path: read(tree, path) for path in SKILLS}
    missing = [path for path, text in texts.items() if not text.strip()]
    if missing:
        other = options.get("ai") or options.get("integration")
        made = f"It is made for {other}, and " if isinstance(other, str) and other.isidentifier() else "It "
        where = "no skills" if len(missing) == len(SKILLS) else f"no {posixpath.dirname(missing[0])}"
        raise _NotUsable("no_skills", f"{made}has {where} for Codex (.agents/skills/speckit-…)")
    return texts


def _commands(tree: Tree, integration: str) -> dict[str, str]:
    """The text of each command file of another integration, by its path."""
    state = _json(tree, ".specify/integration.json")
    installed = state.get("installed_integrations")
    files = _json(tree, f".specify/integrations/{integration}.manifest.json").get("files")
    if not isinstance(installed, list) or integration not in installed or not isinstance(files, dict):
        raise _NotUsable("no_skills", f"Its integration for {integration} is not installed")
    texts = {path: read(tree, path) for path in files if _COMMAND_FILE.search(path) and ".." not in path}
    if len(texts) < len(SKILLS) or not all(text.strip() for text in texts.values()):
        raise _NotUsable("no_skills", f"It lacks commands of its integration for {integration}")
    return texts


def _same_version(tree: Tree, integration: str) -> None:
    """Compare the versions that installed the skills and the scripts, where they are recorded."""
    folder = ".specify/integrations"
    versions = [_json(tree, f"{folder}/{name}.manifest.json").get("version") for name in (integration, "speckit")]
    skills, scripts = (version if isinstance(version, str) else "" for version in versions)
    if skills and scripts and skills != scripts:
        raise _NotUsable("mixed", f"Its skills are of version {skills} and its scripts of version {scripts}")


def _scripts(tree: Tree, commands: dict[str, str]) -> Iterator[str]:
    """The paths of the scripts that the skills call, and of those that all scripts share."""
    for path, text in commands.items():
        calls = sorted({(found[1], found[2]) for found in _SCRIPT.finditer(text)})
        languages = {language for language, _ in calls}
        if languages == {"powershell"}:
            raise _NotUsable("powershell", f"{path} calls a PowerShell script ({calls[0][1]}), and runs use bash")
        for language, name in calls:
            script = f".specify/scripts/{language}/{name}"
            if language == "powershell":
                continue
            if not read(tree, script).strip():
                raise _NotUsable("incomplete", f"{path} calls {script}, which is missing")
            yield script
            shared = f".specify/scripts/{language}/common.{'sh' if language == 'bash' else 'py'}"
            if read(tree, shared):
                yield shared


def _fits(tree: Tree, script: str) -> None:
    """Check that the functions that a script calls exist, and that the script accepts a feature's folder or name."""
    text = _COMMENT.sub("", read(tree, script))
    shared = script.endswith(("common.sh", "common.py"))
    if shared and not re.search(r"SPECIFY_FEATURE|feature\.json", text):
        raise _NotUsable(
            "old_scripts", f"{script} finds a feature neither by .specify/feature.json nor by SPECIFY_FEATURE"
        )
    if not script.endswith(".sh"):
        return
    common = f"{posixpath.dirname(script)}/common.sh"
    if not shared and "common.sh" in text and not read(tree, common):
        raise _NotUsable("incomplete", f"{script} needs {common}, which is missing")
    known = set(_FUNCTION.findall(text)) | set(_FUNCTION.findall(read(tree, common)))
    for name in _SHARED_FUNCTIONS:
        if name not in known and re.search(rf"(?<![\w$-]){name}(?![\w-])", text):
            raise _NotUsable("mixed", f"{script} calls {name}, which {common} does not define")


def _template_paths(tree: Tree, name: str) -> Iterator[str]:
    """The paths of the templates of that name, in Spec Kit's order of precedence."""
    presets = [f".specify/presets/{preset}/templates" for preset in _names(tree, ".specify/presets")]
    extensions = [f".specify/extensions/{name}/templates" for name in _names(tree, ".specify/extensions")]
    for folder in (".specify/templates/overrides", *presets, *extensions, ".specify/templates"):
        if read(tree, f"{folder}/{name}").strip():
            yield f"{folder}/{name}"


def _fitting_templates(tree: Tree) -> tuple[dict[str, str], list[str]]:
    """The path of the repository's template by its name, for each that the image's skills can fill.

    Also the paths that have precedence over it but lack required sections.
    """
    found: dict[str, str] = {}
    unused = []
    for name in TEMPLATES if locate(tree, ".specify") is not None else ():
        for path in _template_paths(tree, name):
            if template_fits(name, read(tree, path)):
                found[name] = path
                break
            unused.append(path)
    return found, unused


def template_fits(name: str, text: str) -> bool:
    """Whether a template has the sections that the image's skills fill; `tasks-template.md` needs a task's line."""
    headings = [line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("## ")]
    sections = all(any(heading.startswith(section) for heading in headings) for section in _SECTIONS[name])
    return sections and (name != "tasks-template.md" or bool(_TASK.search(text)))


def _version(tree: Tree) -> str:
    """The version that the repository's files name; "" if they name none."""
    options, state = _json(tree, ".specify/init-options.json"), _json(tree, ".specify/integration.json")
    for version in (options.get("speckit_version"), state.get("version")):
        if isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version):
            return version
    return ""


def _notes(tree: Tree) -> Iterator[str]:
    if read(tree, ".specify/extensions.yml").strip():
        yield "Its hooks (.specify/extensions.yml) name other skills, which are disabled during a run."
    if read(tree, ".specify/feature.json").strip():
        yield "Its .specify/feature.json is committed; a run does not rely on it."


def _names(tree: Tree, folder: str) -> list[str]:
    real = locate(tree, folder)
    return [] if real is None else tree.names(real)


def _json(tree: Tree, path: str) -> dict[str, Any]:
    """An object of JSON; empty if there is none."""
    try:
        content = json.loads(read(tree, path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
