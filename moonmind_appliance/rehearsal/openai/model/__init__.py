"""The stand-in model: executes Spec Kit's skills with real tool calls, and misbehaves on request."""

from moonmind_appliance.rehearsal.openai.model.actions import Act, Say, Script, Situation, feature_files, next_act

__all__ = ["Act", "Say", "Script", "Situation", "feature_files", "next_act"]
