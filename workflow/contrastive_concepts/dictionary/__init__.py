"""Stage 7, dictionary: the contrastive concepts CC^D of every concept, published as one folder and queried."""
