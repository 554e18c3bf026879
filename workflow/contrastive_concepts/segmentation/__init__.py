"""Segments a user's own photos with the dictionary, through the benchmark's encoder, windows and scores."""
