"""HTTP in, JSON out, no decisions: the REST contract of docs/api.md."""

from moonmind_appliance.api.app import build_api
from moonmind_appliance.api.parts import ApiParts

__all__ = ["ApiParts", "build_api"]
