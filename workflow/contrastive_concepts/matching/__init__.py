"""Which concepts a caption mentions, and which of them it mentions together (paper 3.4)."""
