"""Drawn images with captions and masks, and a small CLIP: they demonstrate the paper's claim without downloads."""
