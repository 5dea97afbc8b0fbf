"""Generated files with the published layout and a class signal of known likelihood."""

from so2sat_hf.synthetic.files import write_raw
from so2sat_hf.synthetic.generate import Patches, patches
from so2sat_hf.synthetic.layout import Layout, lay_out
from so2sat_hf.synthetic.signal import posterior, statistics
from so2sat_hf.synthetic.version_3 import write_version_3

__all__ = [
    "Layout",
    "Patches",
    "lay_out",
    "patches",
    "posterior",
    "statistics",
    "write_raw",
    "write_version_3",
]
