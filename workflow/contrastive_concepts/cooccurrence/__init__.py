"""Stages 3 and 4, co-occurrence: count each shard, merge the counts, frequencies above gamma (paper 3.4)."""
