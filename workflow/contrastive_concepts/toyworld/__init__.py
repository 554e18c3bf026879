"""A drawn world with captions, masks and a small CLIP, on which the paper's claim can be seen without downloads."""
