"""Chooses the model's next action in a phase from the tool outputs so far: it keeps no state between requests."""

import json
import posixpath
import re
import shlex
from typing import NamedTuple

from moonmind_appliance.rehearsal.openai.model import attacks, documents
from moonmind_appliance.rehearsal.openai.model.brief import Brief, read_specification, read_text
from moonmind_appliance.rehearsal.openai.response_script import ResponseKind, ScriptedResponse

_SPEC_BYTES = 12_000
_FEATURE = 'feature=$(sed -n \'s/.*"feature_directory": *"\\([^"]*\\)".*/\\1/p\' .specify/feature.json)'
_READ_SPECIFICATION = f'{_FEATURE} && head -c {_SPEC_BYTES} "$feature/spec.md"'


class ToolCall(NamedTuple):
    """JavaScript for the `exec` tool."""

    source: str


class Message(NamedTuple):
    """A message that ends the turn."""

    text: str


Action = ToolCall | Message


class ModelInput(NamedTuple):
    """The model's input: the skill, the user's text, today's date, the outputs of its tools so far."""

    skill: str
    text: str
    today: str
    outputs: list[str]
    scripted: ScriptedResponse


def next_action(request: ModelInput) -> Action:
    """The next tool call, or the message that ends the turn."""
    failed = next((output for output in request.outputs if "exit code: " in output), None)
    if failed:
        return Message(f"A command failed, so I stopped.\n\n{failed[-500:]}")
    return {"speckit-specify": _specify, "speckit-plan": _plan, "speckit-tasks": _tasks}[request.skill](request)


def feature_files(text: str, *, number: int = 1, created: str = "2026-01-01") -> dict[str, str]:
    """The files that the model writes for that text by default: paths in the repository to contents.

    For `ResponseKind.NO_CHANGES` the repository already contains these files.
    """
    brief = read_text(text)
    feature = f"{number:03}-{brief.short_name}"
    spec = documents.specification(brief, feature, created)
    folder = posixpath.join("specs", feature)
    understood = read_specification(spec)
    return {
        **_specify_files(brief, folder, created, spec, questions=False),
        **_plan_files(understood, folder, created),
        **_task_files(understood, folder),
    }


def _specify(request: ModelInput) -> Action:
    brief = read_text(request.text)
    outputs, kind = request.outputs, request.scripted.kind
    if kind is ResponseKind.ONLY_TALKS:
        return Message(f"“{brief.title}” is a good idea. Shall I write the specification now?")
    if kind is ResponseKind.OWN_SCRIPT:
        return _specify_by_script(request, brief)
    if not outputs:
        return _shell("pwd; ls -1d specs/*/ 2>/dev/null || true")
    folders = re.findall(r"^specs/([^/\s]+)/\s*$", outputs[0], re.MULTILINE)
    existing = _existing(brief, folders) if request.scripted.kind is ResponseKind.NO_CHANGES else None
    feature = existing or f"{_next_number(folders):03}-{brief.short_name}"
    folder = request.scripted.folder or posixpath.join("specs", feature)
    feature = posixpath.basename(folder)
    recorded = kind is not ResponseKind.UNRECORDED
    steps: list[Action] = [_begin_feature(folder, copy_template=not existing, recorded=recorded)]
    questions = request.scripted.kind is ResponseKind.CLARIFICATIONS
    if not existing and request.scripted.kind is not ResponseKind.TEMPLATE_LEFT:
        spec = documents.specification(brief, feature, request.today, questions=questions)
        steps.append(_write(_specify_files(brief, folder, request.today, spec, questions=questions)))
    steps += _extras(request, folder)
    state = "It already existed; I changed nothing." if existing else "Ready for `$speckit-plan`."
    return _step(steps, outputs[1:], f"The specification of “{brief.title}” is in {folder}/spec.md. {state}", request)


def _specify_by_script(request: ModelInput, brief: Brief) -> Action:
    """Fill in the file that the repository's own script created; Spec Kit before 0.5 has no record of the feature."""
    outputs = request.outputs
    if not outputs:
        script = ".specify/scripts/bash/create-new-feature.sh"
        return _shell(f"pwd; bash {script} --json {shlex.quote(brief.short_name)}")
    file = _named_path(outputs[0], "SPEC_FILE")
    if file is None:
        return Message(f"create-new-feature.sh did not name a file, so I stopped.\n\n{outputs[0][-500:]}")
    spec = documents.specification(brief, posixpath.basename(posixpath.dirname(file)), request.today)
    return _step([_write({file: spec})], outputs[1:], f"The specification of “{brief.title}” is in {file}.", request)


def _plan(request: ModelInput) -> Action:
    setup = f"pwd; {_run_script('setup-plan')} && {_READ_SPECIFICATION}"
    outputs = request.outputs
    if not outputs:
        return _shell(setup)
    folder = _feature_folder(outputs[0])
    if folder is None:
        return Message(f"setup-plan.sh did not name a feature folder, so I stopped.\n\n{outputs[0][-500:]}")
    brief = read_specification(_after(outputs[0], "# Feature Specification:"))
    steps: list[Action] = []
    done_before = request.scripted.kind is ResponseKind.NO_CHANGES and "Plan already exists" in outputs[0]
    if not done_before and request.scripted.kind is not ResponseKind.TEMPLATE_LEFT:
        steps.append(_write(_plan_files(brief, folder, request.today)))
    steps += _extras(request, folder)
    return _step(steps, outputs[1:], f"The plan of “{brief.title}” is in {folder}/plan.md.", request)


def _tasks(request: ModelInput) -> Action:
    setup = (
        # Before 0.8 the skill calls the second one.
        f"pwd; {_run_script('setup-tasks', 'check-prerequisites')} && "
        f'{_FEATURE} && if [ -f "$feature/tasks.md" ]; then echo "Tasks already exist"; fi && {_READ_SPECIFICATION}'
    )
    outputs = request.outputs
    if not outputs:
        return _shell(setup)
    folder = _feature_folder(outputs[0])
    if folder is None:
        return Message(f"setup-tasks.sh did not name a feature folder, so I stopped.\n\n{outputs[0][-500:]}")
    brief = read_specification(_after(outputs[0], "# Feature Specification:"))
    steps: list[Action] = []
    if request.scripted.kind is ResponseKind.TEMPLATE_LEFT:
        steps.append(_shell(f"cp .specify/templates/tasks-template.md {shlex.quote(folder)}/tasks.md"))
    elif request.scripted.kind is not ResponseKind.NO_CHANGES or "Tasks already exist" not in outputs[0]:
        steps.append(_write(_task_files(brief, folder)))
    steps += _extras(request, folder)
    return _step(steps, outputs[1:], f"The tasks of “{brief.title}” are in {folder}/tasks.md.", request)


def _extras(request: ModelInput, folder: str) -> list[Action]:
    """The additional actions that the scripted response asks for."""
    match request.scripted.kind:
        case ResponseKind.HOSTILE:
            script = request.scripted.script
            if script is not None:
                return [_shell(f"FEATURE={shlex.quote(folder)}\n{script}")]
            return [_shell(attacks.plant(folder))]
        case ResponseKind.LEAK_OUTPUT:
            return [_shell(attacks.PRINT_CREDENTIALS)]
        case ResponseKind.LEAK_FILE:
            return [_write({f"{folder}/notes.md": attacks.file_with_secret(request.scripted.secret)})]
        case _:
            return []


def _step(steps: list[Action], outputs: list[str], message: str, request: ModelInput) -> Action:
    """The first step that has no output yet; after the last one, the message."""
    if len(outputs) < len(steps):
        return steps[len(outputs)]
    if request.scripted.kind is ResponseKind.LEAK_OUTPUT and outputs:
        return Message(f"{message}\n\nThis is what I work with:\n\n{outputs[-1]}")
    return Message(message)


def _run_script(*names: str) -> str:
    """A shell command that runs the first of these scripts that the repository has, for bash or Python."""
    bash = [f".specify/scripts/bash/{name}.sh" for name in names]
    python = [f".specify/scripts/python/{name.replace('-', '_')}.py" for name in names]
    find = f'for script in {" ".join([*bash, *python, bash[0]])}; do if [ -f "$script" ]; then break; fi; done'
    return f'{find}; case $script in *.py) python3 "$script" --json ;; *) bash "$script" --json ;; esac'


def _begin_feature(folder: str, *, copy_template: bool, recorded: bool) -> ToolCall:
    quoted = shlex.quote(folder)
    commands = [f"mkdir -p {quoted}/checklists" if copy_template else f"test -d {quoted}"]
    if copy_template:
        commands.append(
            "if [ -f .specify/scripts/bash/resolve-template.sh ];"
            f" then bash .specify/scripts/bash/resolve-template.sh spec-template > {quoted}/spec.md;"
            f" else cp .specify/templates/spec-template.md {quoted}/spec.md; fi"
        )
    if recorded:
        pointer = json.dumps({"feature_directory": folder}, ensure_ascii=False)
        commands.append(f"printf '%s\\n' {shlex.quote(pointer)} > .specify/feature.json")
    return _shell(" && ".join(commands))


def _specify_files(brief: Brief, folder: str, created: str, spec: str, *, questions: bool) -> dict[str, str]:
    return {
        f"{folder}/spec.md": spec,
        f"{folder}/checklists/requirements.md": documents.checklist(brief, created, questions=questions),
    }


def _plan_files(brief: Brief, folder: str, created: str) -> dict[str, str]:
    feature = posixpath.basename(folder)
    return {
        f"{folder}/plan.md": documents.plan(brief, feature, created),
        f"{folder}/research.md": documents.research(brief),
        f"{folder}/data-model.md": documents.data_model(brief),
        f"{folder}/contracts/outcomes.md": documents.contract(brief),
        f"{folder}/quickstart.md": documents.quickstart(brief),
    }


def _task_files(brief: Brief, folder: str) -> dict[str, str]:
    return {f"{folder}/tasks.md": documents.tasks(brief, posixpath.basename(folder))}


def _shell(command: str) -> ToolCall:
    arguments = json.dumps({"cmd": command, "yield_time_ms": 30_000, "max_output_tokens": 20_000})
    return ToolCall(
        '// @exec: {"yield_time_ms": 60000, "max_output_tokens": 20000}\n'
        f"const result = await tools.exec_command({arguments});\n"
        "text(result.output);\n"
        'if (result.exit_code !== 0) text("exit code: " + result.exit_code);\n'
    )


def _write(files: dict[str, str]) -> ToolCall:
    """Write whole files with the patch tool; one that exists is overwritten."""
    patch = ["*** Begin Patch"]
    for path, content in files.items():
        patch.append(f"*** Add File: {path}")
        patch += [f"+{line}" for line in content.removesuffix("\n").split("\n")]
    patch.append("*** End Patch\n")
    return ToolCall(f"text(await tools.apply_patch({json.dumps(chr(10).join(patch))}));\n")


def _next_number(folders: list[str]) -> int:
    numbers = [int(found[1]) for folder in folders if (found := re.match(r"(\d{3,})-", folder))]
    return max(numbers, default=0) + 1


def _existing(brief: Brief, folders: list[str]) -> str | None:
    """The folder of this feature, else the newest one."""
    return next((name for name in folders if name.endswith(f"-{brief.short_name}")), max(folders, default=None))


def _feature_folder(output: str) -> str | None:
    """The feature folder in a setup script's output, as a path relative to the folder where the script ran."""
    # Before 0.8 setup-plan.sh uses the second name.
    return _named_path(output, "FEATURE_DIR") or _named_path(output, "SPECS_DIR")


def _named_path(output: str, key: str) -> str | None:
    named = re.search(rf'"{key}":"((?:[^"\\]|\\.)+)"', output)
    where = re.search(r"^(/\S.*)$", output, re.MULTILINE)
    if not named or not where:
        return None
    return posixpath.relpath(json.loads(f'"{named[1]}"'), where[1].rstrip())


def _after(output: str, mark: str) -> str:
    """The output from the mark on; all of it without a mark."""
    found = output.find(mark)
    return output[found:] if found >= 0 else output
