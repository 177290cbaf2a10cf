"""Where a label goes, given where it was and what a network says: refiners, and the alternation with training."""
