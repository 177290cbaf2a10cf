"""The paper's own experiments, table by table, on rendered faces whose truth is known."""
