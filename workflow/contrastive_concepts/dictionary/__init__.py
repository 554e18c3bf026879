"""Stage 7, dictionary: publishes the contrastive concepts CC^D of every concept as one folder and queries it."""
