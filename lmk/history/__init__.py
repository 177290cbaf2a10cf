"""What has happened to the labels: iterations as one table, decisions, findings, gates, suspects."""
