"""What the costly stages cost: `contrastive-concepts bench`."""
