"""From co-occurrence counts, verdicts and vectors to each concept's contrastive concepts (paper 3.4, 3.6)."""
