"""Stage 2, vocabulary: the definition of a word, noun lemmas, and the concept list T."""
