"""The same appliance with other settings."""

import msgspec

from moonmind_appliance.resources import Resources


def changed(resources: Resources, **settings: object) -> Resources:
    """These resources with these settings."""
    return msgspec.structs.replace(resources, settings=msgspec.structs.replace(resources.settings, **settings))
