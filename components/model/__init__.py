"""The networks: LLDif and its peers.

Where a form is taken from stands in brackets: [P] LLDif's paper (arXiv 2408.04235), [L] its sister LRDif (arXiv
2402.00250), [D] DiffIR (ICCV 2023, arXiv 2303.09472), [V] POSTER++ (arXiv 2301.12149). What has no bracket is ours.
"""
