"""Required figures, measured: one line a row.

    python benchmarks/verify.py trust --json          every row; costly ones as stored, with their commit
    python benchmarks/verify.py trust --row T18       measure one row now, and store it
    python benchmarks/verify.py trust --docs          write the area's table into docs/verification.md

A row is a function in `benchmarks/rows/AREA.py`. A stored row whose code has changed since does not hold.
"""

import argparse
import datetime
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AREAS = ("trust", "people", "core")
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows.row import Row, place  # noqa: E402


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def cpu_seconds() -> float:
    """Of this process and all that it has waited for."""
    return sum(os.times()[:4])


def measure(row: Row) -> dict:
    """One line: what a row measures now."""
    started = cpu_seconds()
    found = row.measure()
    return {
        "row": row.name, "measured": found.measured, "required": row.required, "holds": bool(found.holds), "n": found.n,
        "cpu_s": round(cpu_seconds() - started, 1),
    }  # fmt: skip


def is_stale(line: dict, row: Row) -> bool:
    """Whether the code that a stored row measures has changed since, committed or not."""
    changed = subprocess.run(["git", "diff", "--quiet", line["commit"], "--", *row.code], cwd=ROOT)
    return changed.returncode != 0


def stored_lines(area: str) -> dict[str, dict]:
    path = RESULTS / f"{area}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store(area: str, line: dict) -> None:
    lines = stored_lines(area) | {
        line["row"]: line | {"commit": git("rev-parse", "HEAD"), "date": str(datetime.date.today())}
    }
    RESULTS.mkdir(exist_ok=True)
    ordered = dict(sorted(lines.items(), key=lambda item: place(item[0])))
    (RESULTS / f"{area}.json").write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def line_of(row: Row, stored: dict[str, dict]) -> dict:
    """The line of a row: stored if it is costly, else measured now."""
    if not row.costly:
        return measure(row)
    if row.name not in stored:
        return {"row": row.name, "measured": "not measured", "required": row.required, "holds": False, "n": 0}
    line = dict(stored[row.name])
    if is_stale(line, row):
        line |= {"holds": False, "stale": True}
    return line


def table(lines: list[dict]) -> str:
    """The rows as a table of Markdown."""
    out = ["| row | required | measured | n | holds |", "| --- | --- | --- | --- | --- |"]
    for line in lines:
        when = f" ({line['commit'][:7]}, {line['date']})" if "commit" in line else ""
        holds = "yes" if line["holds"] else "stale" if line.get("stale") else "**no**"
        out.append(f"| {line['row']} | {line['required']} | {line['measured']}{when} | {line['n']} | {holds} |")
    return "\n".join(out)


def write_docs(area: str, lines: list[dict]) -> None:
    """Put the table between the area's two marks in docs/verification.md."""
    path = ROOT / "docs" / "verification.md"
    text, (first, last) = path.read_text(encoding="utf-8"), (f"<!-- rows {area} -->", f"<!-- end {area} -->")
    before, _, rest = text.partition(first)
    _, _, after = rest.partition(last)
    path.write_text(f"{before}{first}\n{table(lines)}\n{last}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("area", choices=AREAS)
    parser.add_argument("--row", help="measure this row now, however costly, and store it")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/verification.md")
    asked = parser.parse_args()
    rows = {row.name: row for row in importlib.import_module(f"rows.{asked.area}").ROWS}
    if asked.row:
        if asked.row not in rows:
            parser.error(f"there is no row {asked.row!r}: {asked.area} has {', '.join(rows)}")
        line = measure(rows[asked.row])
        store(asked.area, line)
        print(json.dumps(line, ensure_ascii=False))
        sys.exit(not line["holds"])
    lines, stored = [], stored_lines(asked.area)
    for row in rows.values():
        lines.append(line_of(row, stored))
        if asked.json:
            print(json.dumps(lines[-1], ensure_ascii=False), flush=True)
    if not asked.json:
        print(table(lines))
    if asked.docs:
        write_docs(asked.area, lines)


if __name__ == "__main__":
    main()
