"""Stage 1, captions: shards of captions in the formats of the wild, or an inverted index of them."""
