"""Operations on a shard's login, one verb per file."""
