"""Measurements: programs that anyone can run, each printing what stands beside it."""
