"""Which concepts can be seen: prompts, judges and their stored answers (paper 3.4, 3.5, 6.3, 6.4)."""
