"""Ray Tune searches the parameters of a training on valid: the search, its journal, and what comes of it."""
