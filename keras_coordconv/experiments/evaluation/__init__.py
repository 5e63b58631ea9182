"""Metrics and losses, one kind per file."""
