"""FFR from geometry beside the pressure wire's on two patients; the protocol is in `examples/pressure_wire.py`.

Prints one JSON object per patient and vessel.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import pressure_wire


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with P1_tree.json and its like")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is always JSON")
    arguments = parser.parse_args()
    for name in ("P1", "P10"):
        started = time.perf_counter()
        for record in pressure_wire.patient(arguments.folder, name):
            print(json.dumps({**record, "seconds": round(time.perf_counter() - started, 2)}), flush=True)


if __name__ == "__main__":
    main()
