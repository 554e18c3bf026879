"""Test-time contrastive concepts for open-vocabulary segmentation, mined from captions (arXiv 2407.05061)."""
