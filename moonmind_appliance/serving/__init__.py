"""Serves the API under uvicorn until a signal stops it, within limits on connections and slow clients."""

from moonmind_appliance.serving.server import make_server, serve

__all__ = ["make_server", "serve"]
