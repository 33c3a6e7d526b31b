"""The stand-in model: executes Spec Kit's skills with real tool calls, and misbehaves on request."""

from moonmind_appliance.rehearsal.openai.model.actions import (
    Action,
    Message,
    ModelInput,
    ToolCall,
    feature_files,
    next_action,
)

__all__ = ["Action", "Message", "ModelInput", "ToolCall", "feature_files", "next_action"]
