"""Stage 6, similarity: text embeddings averaged over prompts, and the threshold delta (paper 3.4)."""
