"""Serves the API under uvicorn until a signal stops it, within limits on connections and slow clients."""

from moonmind_appliance.serving.server import make_server, serve
from moonmind_appliance.serving.supervision import Supervision

__all__ = ["Supervision", "make_server", "serve"]
