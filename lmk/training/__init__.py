"""From labels to a network: batches, the loop, and what is held out."""
