"""Operations on runs, one verb per file."""
