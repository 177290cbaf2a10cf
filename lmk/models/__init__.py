"""Networks: what they are (base), what they are built from, and how they are kept (store)."""
