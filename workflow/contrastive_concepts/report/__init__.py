"""Stage 10, report: figures, tables and lists of the results of a run."""
