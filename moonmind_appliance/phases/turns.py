"""The agent turn of each Spec Kit phase."""

from moonmind_appliance.agents.adapter import Turn, TurnRequest
from moonmind_appliance.models import PhaseName
from moonmind_appliance.models.container_paths import SCAFFOLD
from moonmind_appliance.phases.acceptance import OUTPUT_FILES, TEMPLATES
from moonmind_appliance.phases.context import PhaseContext

_IMAGE_TEMPLATES = f"{SCAFFOLD}/.specify/templates"


def turn_of(phase: PhaseName, ctx: PhaseContext) -> Turn:
    """The phase's turn; only `specify` contains the submitter's text."""
    return ctx.agent.turn(
        TurnRequest(
            phase=phase,
            workspace=ctx.names.workspace,
            text=ctx.run.specify_text if phase is PhaseName.SPECKIT_SPECIFY else "",
            feature=None if phase is PhaseName.SPECKIT_SPECIFY else ctx.feature.directory,
            report=(f"{{feature}}/{OUTPUT_FILES[phase]}", *template_names(phase)),
            time_limit=ctx.settings.phase_time_limit,
            silence_limit=ctx.settings.phase_silence_limit,
        )
    )


def template_names(phase: PhaseName) -> tuple[str, str]:
    """The repository's own template, and the image's."""
    name = TEMPLATES[phase]
    return f".specify/templates/{name}", f"{_IMAGE_TEMPLATES}/{name}"
