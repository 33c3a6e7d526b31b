"""Which shard may take a run, why a run waits, and which shards are woken."""
