"""Make so2sat_hf/maps/outlines.json, the coasts and borders of the browse page, from an npm package.

npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
python .ci/outlines.py package/countries-50m.json
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "so2sat_hf" / "maps" / "outlines.json"


def main():
    found = json.loads(Path(sys.argv[1]).read_text())
    arcs = [[number for point in arc for number in point] for arc in found["arcs"]]
    known = {
        "source": "npm package world-atlas 2.0.2 (ISC), from Natural Earth 4.1 (public domain)",
        "scale": found["transform"]["scale"],
        "translate": found["transform"]["translate"],
        "arcs": arcs,  # x, y, then steps, in whole numbers: degrees = number x scale + translate
    }
    TARGET.write_text(json.dumps(known, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
