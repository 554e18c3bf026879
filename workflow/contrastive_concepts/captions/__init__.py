"""Stage 1, captions: shards of captions in common file formats, or an inverted index of them."""
