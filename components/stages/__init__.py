"""One module per DVC stage. Each has `Params`, the sections of the params file it is given, and `run`.

`run(params, raw, folder, state)` reads and writes in `folder` (runs/<experiment>), keeps what must survive a kill in
`state`, and yields a Report after each step of its work. `raw` is where the experiment's raw data lies.
"""
