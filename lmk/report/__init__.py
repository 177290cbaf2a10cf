"""The page that shows what moved: its text, charts and gallery."""
