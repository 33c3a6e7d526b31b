"""Who did what, in plain English."""

from contextvars import copy_context

from moonmind_appliance.models import Author, Interface, set_author
from moonmind_appliance.store import Store
from moonmind_appliance.views.audit import audit_entries

ANN = Author("local:ann", "ann", Interface.API, "192.0.2.1")


def test_an_entry_says_who_what_and_how(store: Store) -> None:
    """An entry has the line of the log, and the data for programs. Automatic events are not listed."""

    def act() -> None:
        set_author(ANN)
        store.events.add("shard.paused", shard=2)

    copy_context().run(act)
    store.events.add("shard.resumed", shard=2)
    (entry,) = audit_entries(store, limit=10)
    assert (entry.author, entry.kind, entry.line, entry.shard, entry.run_id) == (
        ANN,
        "shard.paused",
        "Shard 2: paused: it claims no more runs",
        2,
        None,
    )
