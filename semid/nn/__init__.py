"""Torch blocks that two models share. Internal: import the estimators instead."""
