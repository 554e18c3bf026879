"""Tools that are not part of the library: resource usage of a run's jobs, training of the noun model."""
