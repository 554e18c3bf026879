"""`python -m contrastive_concepts`: the console command."""

from contrastive_concepts.cli import main

main()
