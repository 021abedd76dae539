"""Promotion: what a candidate must show before it replaces the champion. Pure functions over what both answered."""
