"""The store's own fixtures: the views are tested on a real store."""

from tests.store.conftest import data_dir, in_process, make_run, now, store

__all__ = ["data_dir", "in_process", "make_run", "now", "store"]
