"""Settings that hold for all tests."""

from hypothesis import settings

# A generated example has no time limit of its own: on a busy machine it would fail by chance.
settings.register_profile("appliance", deadline=None)
settings.load_profile("appliance")
