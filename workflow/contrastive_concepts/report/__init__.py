"""Stage 10, report: figures and lists of what a benchmark found."""
