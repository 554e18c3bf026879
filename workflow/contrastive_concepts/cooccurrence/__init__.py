"""Stage 3 and 4, co-occurrence: counting shards, merging them, frequencies over gamma (paper 3.4)."""
