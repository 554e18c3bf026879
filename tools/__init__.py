"""Tools beside the library: what a run's jobs took, how the noun model is trained."""
