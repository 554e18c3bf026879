"""The console command `contrastive-concepts`."""

from contrastive_concepts.cli.main import main

__all__ = ["main"]
