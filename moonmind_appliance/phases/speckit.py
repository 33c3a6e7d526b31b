"""The three Spec Kit phases: one agent turn each, accepted or rejected by its files."""

from collections.abc import Mapping, Sequence

import msgspec

from moonmind_appliance.agents.adapter import SKILLS, TurnReport
from moonmind_appliance.errors import ContainerNotFound
from moonmind_appliance.in_container.egress_record import FAILED, REFUSED
from moonmind_appliance.in_container.feature_folder import folder_problem
from moonmind_appliance.models import (
    AgentTurn,
    AgentVerdict,
    EndReason,
    ExecOutcome,
    ExecSpec,
    Failure,
    FailureCode,
    PhaseName,
    SpecifyTurn,
    TurnOutcome,
    WaitingFor,
    WaitReason,
    WrittenFeature,
    failure,
)
from moonmind_appliance.phases.acceptance import (
    OUTPUT_FILES,
    SIDE_FILES,
    accept,
)
from moonmind_appliance.phases.agent_login import record_login
from moonmind_appliance.phases.commands import KILLED, Tee, lost, memory_limit, out_of_memory, run_command
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.egress_record import EgressTarget
from moonmind_appliance.phases.git_commands import prepare_git
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed
from moonmind_appliance.phases.specification import clarifications, section, title
from moonmind_appliance.phases.turns import template_names, turn_of
from moonmind_appliance.phases.wall import needed_targets
from moonmind_appliance.phases.workspace_watch import watch_agent
from moonmind_appliance.printable import escape

_LONGEST_MESSAGE = 600
_LONGEST_SECTION = 8000
_LONGEST_QUESTION, _MOST_QUESTIONS = 400, 30


def speckit_phase(phase: PhaseName, ctx: PhaseContext) -> PhaseResult:
    """Run the phase's skill once. May be repeated: files of an earlier attempt of this phase are removed first.

    Before `specify` is repeated, the repository is cloned again, so the turn finds no files of an earlier attempt.

    If the turn leaves another account's login, or no usable login, the run has no further turn on this shard.
    """
    if ctx.login and ctx.login.problem:
        return PhaseResult(waiting_for=WaitingFor(WaitReason.LOGIN, detail=ctx.login.problem))
    if ctx.wall is not None and (reason := ctx.wall.wait_ready()) is not None:
        return failed(reason)
    if ctx.attempt > 1:
        _remove_files_of_earlier_attempt(phase, ctx)
    turn = turn_of(phase, ctx)
    files, ctx.agent_files = ctx.agent_files | turn.files, {}
    _prepare_next(phase, ctx, turn.command.command)
    egress_before = ctx.wall.targets() if ctx.wall is not None else []
    broker = ctx.wall.broker if ctx.wall is not None else None
    broker_before = broker.reader.position() if broker is not None else 0
    with ctx.logs(phase) as logs:
        reader = ctx.agent.reader(logs.stdout)
        stderr = Tee(logs.stderr)
        with watch_agent(ctx) as watch:
            ended = run_command(ctx, ctx.names.agent, turn.command, stdout=reader, stderr=stderr, files=files)
        reader.close()
        # A refreshed login has new secrets: the redactor must know them before the rest of the log is written.
        digest = reader.report().login_digest
        # With a login broker, no log of the agent can contain them.
        if broker is None and (ctx.login is None or digest is None or digest != ctx.login.digest):
            try:
                ctx.login = record_login(ctx, lost=ended.ended is EndReason.CONTAINER_GONE)
            except ContainerNotFound as error:
                raise lost(phase.value, "agent") from error
    watch.check_disk()
    if ended.ended is EndReason.CONTAINER_GONE and watch.failure is None:
        raise lost(phase.value, "agent")
    outcome = reader.outcome(ended)
    if broker is not None:
        outcome = broker.outcome(outcome, since=broker_before)
    if ctx.wall is not None and outcome.verdict in {AgentVerdict.FAILED, AgentVerdict.UNREACHABLE}:
        ctx.wall.check_network(phase.value)
    outcome = msgspec.structs.replace(outcome, message=ctx.redactor.redact_text(outcome.message)[:_LONGEST_MESSAGE])
    result = _judge(phase, ctx, ended, outcome, reader.report(), egress_before=egress_before)
    if result.failure is not None or result.waiting_for is not None or (ctx.login is not None and ctx.login.problem):
        # After a successful turn the next phase measures the workspace; after a failed one there may be no next phase.
        watch.measure_now()
    ctx.workspace_bytes = watch.used
    watch.check_disk()
    if watch.failure is not None:
        result = failed(watch.failure)
    metadata = {"turn": msgspec.to_builtins(outcome), "seconds": round(ended.seconds, 2), **result.metadata}
    kind = SpecifyTurn if phase is PhaseName.SPECKIT_SPECIFY else AgentTurn
    output = result.output or kind(usage=outcome.usage)
    return msgspec.structs.replace(result, output=output, metadata=metadata, turn=outcome, **logs.paths)


def _prepare_next(phase: PhaseName, ctx: PhaseContext, command: Sequence[str]) -> None:
    """Start the program of the next turn, or of the commit, in the background."""
    if phase is list(SKILLS)[-1]:
        prepare_git(ctx, "stage")
    else:
        ctx.prepared.prepare(ctx.names.agent, command)


def _remove_files_of_earlier_attempt(phase: PhaseName, ctx: PhaseContext) -> None:
    """Spec Kit does not replace an existing file: an incomplete file of an interrupted attempt would remain."""
    if SIDE_FILES[phase]:
        files = [f"{ctx.feature.directory}/{name}" for name in SIDE_FILES[phase]]
        spec = ExecSpec(command=["rm", "-rf", "--", *files], working_dir=ctx.names.repository, time_limit=60)
        run_command(ctx, ctx.names.agent, spec, stdout=Tee(), stderr=Tee())


def _judge(
    phase: PhaseName,
    ctx: PhaseContext,
    ended: ExecOutcome,
    turn: TurnOutcome,
    report: TurnReport,
    *,
    egress_before: Sequence[EgressTarget],
) -> PhaseResult:
    """The phase's result from the command's end, the turn and the files; the files decide.

    `egress_before`: the wall's targets at the start of the turn.
    """
    if ended.ended in {EndReason.TIMED_OUT, EndReason.SILENT}:
        return failed(_why_not_completed(phase, ctx, ended))
    if turn.verdict is AgentVerdict.SKILL_MISSING:
        message = f"The work tree has no .agents/skills/{SKILLS[phase]}."
        return failed(failure(FailureCode.SKILL_MISSING, message))
    if turn.verdict is AgentVerdict.QUOTA:
        message = f"the usage window of shard {ctx.names.shard.index} is used up"
        return PhaseResult(waiting_for=WaitingFor(WaitReason.QUOTA, turn.resets_at, message))
    if turn.verdict is AgentVerdict.LOGIN_DEAD:
        message = f"{ctx.agent.service} refuses the login of shard {ctx.names.shard.index}"
        return PhaseResult(waiting_for=WaitingFor(WaitReason.LOGIN, detail=message))
    if turn.verdict is not AgentVerdict.COMPLETED:
        return failed(_turn_failure(phase, ctx, ended, turn, needed_targets(ctx, egress_before)))
    return _accept_files(phase, ctx, turn, report)


def _why_not_completed(phase: PhaseName, ctx: PhaseContext, ended: ExecOutcome) -> Failure:
    if ended.ended is EndReason.TIMED_OUT:
        message = f"{phase.value} took longer than PHASE_TIME_LIMIT ({ctx.settings.phase_time_limit} s)."
        return failure(FailureCode.AGENT_TIMED_OUT, message)
    limit = ctx.settings.phase_silence_limit
    return failure(FailureCode.AGENT_SILENT, f"{phase.value} produced no output for PHASE_SILENCE_LIMIT ({limit} s).")


def _turn_failure(
    phase: PhaseName, ctx: PhaseContext, ended: ExecOutcome, turn: TurnOutcome, needed: Mapping[str, str]
) -> Failure:
    """Why the turn failed. `needed`: what the agent needed and did not reach in this turn."""
    shard = ctx.names.shard.index
    if turn.verdict is AgentVerdict.FAILED and ended.exit_code == KILLED and out_of_memory(ctx, ctx.names.agent):
        message = f"{ctx.agent.name} needed more memory in {phase.value} than {memory_limit(ctx)}."
        return failure(FailureCode.OUT_OF_MEMORY, message)
    if turn.verdict in {AgentVerdict.FAILED, AgentVerdict.UNREACHABLE} and (refused := needed.get(REFUSED)):
        message = f"{phase.value} failed, and the wall had refused what {ctx.agent.name} needs: {refused}."
        return failure(FailureCode.EGRESS_REFUSED, message + _last_message(turn))
    code, message = {
        AgentVerdict.PLAN_WITHOUT_CODEX: (
            FailureCode.PLAN_WITHOUT_CODEX,
            f"The account of shard {shard} may not use {ctx.agent.name}.",
        ),
        AgentVerdict.UNREACHABLE: (
            FailureCode.AGENT_UNREACHABLE,
            f"{phase.value} could not reach {ctx.agent.service}."
            + (f" From the egress container: {needed[FAILED]}." if FAILED in needed else ""),
        ),
        AgentVerdict.CHALLENGED: (
            FailureCode.OPENAI_CHALLENGE,
            f"{ctx.agent.service} answered {phase.value} with a challenge for browsers (HTTP 403, cf-mitigated).",
        ),
        AgentVerdict.MODEL_UNAVAILABLE: (
            FailureCode.MODEL_UNAVAILABLE,
            f"{ctx.agent.service} does not offer {_model(ctx)} to the account of shard {shard}.",
        ),
        AgentVerdict.TEXT_FLAGGED: (
            FailureCode.TEXT_FLAGGED,
            f"{ctx.agent.service} refused {phase.value} because of its usage policy.",
        ),
        AgentVerdict.CONTEXT_WINDOW_EXCEEDED: (
            FailureCode.CONTEXT_WINDOW_EXCEEDED,
            f"{phase.value} exceeded the context window of {_model(ctx)}.",
        ),
    }.get(turn.verdict, (FailureCode.AGENT_FAILED, f"{phase.value} failed with exit code {ended.exit_code}."))
    return failure(code, message + _last_message(turn))


def _model(ctx: PhaseContext) -> str:
    model = ctx.settings.codex_model
    return f"the model {model} (CODEX_MODEL)" if model else "the default model"


def _last_message(turn: TurnOutcome) -> str:
    return f" The agent said: {turn.message}" if turn.message else ""


def _accept_files(phase: PhaseName, ctx: PhaseContext, turn: TurnOutcome, report: TurnReport) -> PhaseResult:
    files = report.files
    if phase is PhaseName.SPECKIT_SPECIFY:
        found = _written_feature(ctx, report, turn)
        if isinstance(found, Failure):
            return failed(found)
        feature = found
    else:
        feature = ctx.feature.directory
    name = f"{feature}/{OUTPUT_FILES[phase]}"
    text = files.get(name)
    template = next((files[path] for path in template_names(phase) if path in files), None)
    refusal = accept(phase, name, text, template)
    if refusal is not None:
        return failed(
            msgspec.structs.replace(refusal, message=refusal.message + _last_message(turn)), feature_directory=feature
        )
    metadata: dict[str, object] = {"feature_directory": feature, "file": name, "bytes": len((text or "").encode())}
    if phase is not PhaseName.SPECKIT_SPECIFY:
        return PhaseResult(metadata=metadata)
    redacted = ctx.redactor.redact_text(text or "")
    questions = clarifications(redacted)
    assumptions = section(redacted, "Assumptions")[:_LONGEST_SECTION]
    written = WrittenFeature(feature, title(redacted), assumptions, len(questions))
    return PhaseResult(
        output=SpecifyTurn(turn.usage, written),
        metadata=metadata | {"title": written.title, "assumptions": written.assumptions},
        run_fields=RunFields(clarifications=_bounded(questions)),
    )


def _written_feature(ctx: PhaseContext, report: TurnReport, turn: TurnOutcome) -> str | Failure:
    """The folder that `specify` wrote, or why there is none. The agent could have forged the report."""
    feature, refused = report.feature, report.feature_problem
    if feature is not None and not refused and (problem := folder_problem(feature)):
        refused = f"{feature}: {problem}"
    if feature is not None and not refused:
        return feature
    message = "specify completed, but wrote no specification: no spec.md is new or changed."
    if refused:
        named = ctx.redactor.redact_text(escape(refused)[:_LONGEST_MESSAGE])
        message = f"specify completed, but its feature folder cannot be used. {named}."
    return failure(FailureCode.PHASE_OUTPUT_MISSING, message + _last_message(turn))


def _bounded(questions: list[str]) -> list[str]:
    """The first questions, each shortened for a list of runs; the last entry says if there are more."""
    shown = [text if len(text) <= _LONGEST_QUESTION else text[:_LONGEST_QUESTION] + "…" for text in questions]
    if len(shown) <= _MOST_QUESTIONS:
        return shown
    return [*shown[: _MOST_QUESTIONS - 1], f"and {len(shown) - _MOST_QUESTIONS + 1} more, see the specification"]
