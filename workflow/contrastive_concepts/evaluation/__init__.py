"""How well queries are segmented: data sets, protocol, contrastive sets, IoU-single and mIoU (paper 4, 6.1)."""
