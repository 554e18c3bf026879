"""Gives the dictionary's negatives to other people's detectors, and keeps of their results what belongs to the queries.

One file for each library, which is imported only by the functions that need it."""

from contrastive_concepts.adapters.prompts import Prompts

__all__ = ["Prompts"]
