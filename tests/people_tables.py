"""Tables as people export them: one sound table for every reader, and what is done to it."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perfsim.flow.pulsatile.waveform import read_waveform
from perfsim.io.curves import read_samples
from perfsim.io.guide_points import read_guide_points
from perfsim.io.pressure_wire import read_pressure_wire
from perfsim.io.segments import read_segments

import numpy as np
import openpyxl

Cells = list[list[str]]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader and a table that it reads: cells with decimal points, a header first."""

    read: Callable[[Path], Any]
    cells: Cells
    ending: str
    column: int
    """one of numbers with decimals"""


def wire_cells() -> Cells:
    """12 s of a pulse, Pd 10 % below Pa."""
    t = np.arange(0, 12, 0.05)
    pressure = 95.25 + 20.5 * np.sin(6 * t)
    rows = [[f"{a:.2f}", f"{b:.2f}", f"{0.9 * b:.2f}"] for a, b in zip(t, pressure, strict=True)]
    return [["t_s", "Pa_mmHg", "Pd_mmHg"], *rows]


def guide_cells() -> Cells:
    ring = [[f"{30 * np.cos(a):.3f}", f"{30 * np.sin(a):.3f}", "0.5", "MITRAL_VALVE"] for a in range(6)]
    return [["x", "y", "z", "contour type"], *ring, ["0.25", "0.5", "-90.5", "APEX_POINT"]]


READERS = {
    "segments": Reader(
        lambda p: read_segments(p, 0.25)[0],
        [["segment", "mbf_mL_min_g", "sd"], *([str(k), f"{2 + k / 20:.2f}", "0.20"] for k in range(1, 18))], ".csv", 1,
    ),
    "wire": Reader(lambda p: np.array([read_pressure_wire(p).aortic, read_pressure_wire(p).distal]), wire_cells(), ".csv", 1),
    "curve": Reader(
        lambda p: np.array(read_samples(p)),
        [["time_s", "activity_kBq_mL"], *([f"{5.5 * k:.1f}", f"{1.25 * k:.2f}"] for k in range(12))], ".csv", 1,
    ),
    "guide points": Reader(lambda p: np.concatenate(list(read_guide_points(p).values())), guide_cells(), ".txt", 0),
}  # fmt: skip


def text_of(cells: Cells, delimiter: str = ",", decimal: str = ".") -> str:
    """As text; decimal signs are changed in numbers only."""
    rows = [cells[0], *[[c.replace(".", decimal) for c in row] for row in cells[1:]]]
    return "\n".join(delimiter.join(row) for row in rows) + "\n"


def write_workbook(path: Path, cells: Cells, sheet: str = "Data") -> Path:
    """As an Excel workbook, numbers as numbers."""
    book = openpyxl.Workbook()
    page = book.active
    page.title = sheet
    for row in cells:
        page.append([float(c) if _is_number(c) else c for c in row])
    book.save(path)
    return path


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _with_words(cells: Cells) -> Cells:
    """With a column of words that ASCII lacks."""
    return [[*row, word] for row, word in zip(cells, ["Bemerkung", "geprüft µ°", *[""] * len(cells)], strict=False)]


def _with_double(cells: Cells, column: int) -> Cells:
    return [[*row, row[column]] for row in cells]


KINDS: dict[str, tuple[Callable[[Path, Reader], Path], str]] = {
    "as it is": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells)), "read"),
    "byte order mark": (lambda d, r: _written(d / f"t{r.ending}", "\ufeff" + text_of(r.cells)), "read"),
    "code page 1252": (lambda d, r: _written(d / f"t{r.ending}", text_of(_with_words(r.cells)).encode("cp1252")), "read"),
    "UTF-16": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells).encode("utf-16")), "read"),
    "Windows line ends": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells).replace("\n", "\r\n")), "read"),
    "gzip": (lambda d, r: _written(d / f"t{r.ending}.gz", gzip.compress(text_of(r.cells).encode())), "read"),
    "capitals in the suffix": (lambda d, r: _written(d / f"T{r.ending.upper()}", text_of(r.cells)), "read"),
    "workbook": (lambda d, r: write_workbook(d / "t.xlsx", r.cells), "read"),
    "workbook in capitals": (lambda d, r: write_workbook(d / "t.xlsx", r.cells).rename(d / "T.XLSX"), "read"),
    "semicolons, decimal commas": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, ";", ",")), "read"),
    "semicolons, decimal points": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, ";")), "read"),
    "sep= in front": (lambda d, r: _written(d / f"t{r.ending}", "sep=;\n" + text_of(r.cells, ";", ",")), "read"),
    "tabs": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, "\t")), "read"),
    "blanks after commas": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, ", ")), "read"),
    "empty lines, empty columns": (
        lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells).replace("\n", ",,\n") + "\n,,\n"), "read",
    ),
    "decimal commas between commas": (lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, ",", ",")), "refused"),
    "points and commas": (
        lambda d, r: _written(d / f"t{r.ending}", text_of(r.cells, ";").replace(".", ",", 1)), "refused",
    ),
    "two columns of one name": (
        lambda d, r: _written(d / f"t{r.ending}", text_of(_with_double(r.cells, r.column))), "refused",
    ),
    "a row too long": (lambda d, r: _written(d / f"t{r.ending}", text_of([*r.cells, [*r.cells[1], "7"]])), "refused"),
    "a word for a number": (
        lambda d, r: _written(d / f"t{r.ending}", text_of([*r.cells[:-1], ["oops"] * len(r.cells[0])])), "refused",
    ),
    "infinite": (lambda d, r: _written(d / f"t{r.ending}", text_of(_changed(r, "1e999"))), "refused"),
    "no text": (lambda d, r: _written(d / f"t{r.ending}", b"\x00\x01\x02" * 99), "refused"),
    "old workbook": (lambda d, r: _written(d / "t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99), "refused"),
    "a zip, no workbook": (lambda d, r: _written(d / "t.xlsx", b"PK\x03\x04" + b"\x00" * 99), "refused"),
    "a date in a workbook": (lambda d, r: _dated(d / "t.xlsx", r), "refused"),
    "a formula without value": (lambda d, r: write_workbook(d / "t.xlsx", _changed(r, "=1+1")), "refused"),
}  # fmt: skip
"""kind → (what writes it, whether it is read as the sound table or refused)"""


def _changed(reader: Reader, text: str) -> Cells:
    """With this text in the second row's cell of numbers."""
    cells = [list(row) for row in reader.cells]
    cells[2][reader.column] = text
    return cells


def _dated(path: Path, reader: Reader) -> Path:
    import datetime

    book = openpyxl.load_workbook(write_workbook(path, reader.cells))
    book.active.cell(3, reader.column + 1).value = datetime.datetime(2024, 5, 2)
    book.save(path)
    return path


def is_right(reader: Reader, kind: str, folder: Path) -> bool:
    """Whether a kind is read as the sound table is, or refused in a sentence that names the file."""
    from perfsim import InputError

    write, expected = KINDS[kind]
    sound = reader.read(_written(folder / f"sound{reader.ending}", text_of(reader.cells)))
    path = write(folder, reader)
    try:
        found = reader.read(path)
    except InputError as error:
        return expected == "refused" and path.name in str(error)
    return expected == "read" and bool(np.array_equal(found, sound, equal_nan=True))


__all__ = ["KINDS", "READERS", "Reader", "is_right", "read_waveform", "text_of", "write_workbook"]
