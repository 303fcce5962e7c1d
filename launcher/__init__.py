"""What `python start.py` does: standard library only, because it runs before anything is installed.

`cli` reads the arguments, `preparing` sets the folder up step by step, `lab` opens JupyterLab, `testing` runs every
check. Whatever goes wrong on the way is a `Stop`: one sentence that says what to do.
"""
