"""Evaluates the segmentation of queries: data sets, protocol, contrastive sets, IoU-single, mIoU (paper 4, 6.1)."""
