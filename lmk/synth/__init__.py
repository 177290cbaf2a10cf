"""Rendered faces with exact landmarks, and models of how human annotators miss them."""
