"""Measures time and memory of the expensive stages: `contrastive-concepts bench`."""
