"""What moved, why, and whether it helped: drift in numbers, and the page that shows it."""
