"""One stack for the whole module, as it takes a minute to start."""

import pytest

from tests.compose.stack import Stack, build_images, docker_config


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack that is not started yet."""
    made = Stack(tmp_path_factory.mktemp("compose"), docker_config(), build_images())
    try:
        made.prepare()
        yield made
    finally:
        made.close()
