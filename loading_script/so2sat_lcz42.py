"""The builder of so2sat_hf as a loading script, for datasets < 4; README.md says when and how.

::

    load_dataset("loading_script/so2sat_lcz42.py", "culture_10", data_dir="raw", trust_remote_code=True)
"""

from so2sat_hf import so2sat_lcz42

# ruff: noqa: INP001  (a file that is loaded by its path belongs to no package)


class So2SatLCZ42(so2sat_lcz42.So2SatLCZ42):
    """The builder, as a class of this module.

    ``datasets`` locks the folder above the one of the class's file when it streams: its own cache, where it
    copies this file, instead of ``site-packages``, which may be read-only.
    """
