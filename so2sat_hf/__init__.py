"""So2Sat LCZ42 as a Hugging Face dataset: convert, verify, publish, load, fine-tune.

Importing this package loads nothing heavy; every room is imported by its own name, e.g.
``from so2sat_hf.so2sat_lcz42 import So2SatLCZ42``.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
