"""Bad input by the thousand: valid small files, changed by a seed, given to whatever reads such files.

A surface (``surfaces.py``) is one kind of input with its readers. A worker process (``worker.py``) tries one
input after the other under a limit of memory; ``runner.py`` watches it, so that a crash and a hang count like
any other violation.
"""
