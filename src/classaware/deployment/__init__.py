"""Trained networks on their way to others: exported files, folders for model hubs, predictions."""
