"""When does cleaning pay?  Models on human, on refined and on true labels, all else equal."""
