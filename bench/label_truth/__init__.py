"""How near labels come to a known truth: ours, the paper's search, and what else one could do."""
