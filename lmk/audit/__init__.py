"""What moved, in numbers: drift, what moved as a whole, and how loosely humans place a landmark."""
