"""Selects each concept's contrastive concepts from co-occurrence counts, verdicts and vectors (paper 3.4, 3.6)."""
