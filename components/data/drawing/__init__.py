"""How an embedded face is painted: numbers in, pixels out."""
