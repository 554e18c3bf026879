"""Stage 2, vocabulary: what a word is, noun lemmas, and the concept list T."""
