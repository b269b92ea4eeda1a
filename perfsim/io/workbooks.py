"""Excel workbooks (.xlsx) as rows of cells."""

import datetime
import zipfile
from collections.abc import Iterator
from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError

MOST = 256 << 20
"""largest workbook that is read, unpacked [bytes]"""
MOST_CELLS = 4_000_000
OLD = b"\xd0\xcf\x11\xe0"


def is_workbook(path: Path) -> bool:
    """Whether a file is an Excel workbook, by its first bytes. Raises `InputError` for the old format (.xls)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4)
    if start == OLD:
        raise InputError(f"{path}: this is an old Excel file (.xls): save it as .xlsx or CSV")
    return start == b"PK\x03\x04"


def read_sheets(path: Path) -> Iterator[tuple[str, list[tuple[int, list]]]]:
    """(name, [(row number, cells)]) of each sheet; cells are text, floats or dates, and empty text where empty.

    Raises `InputError` for what openpyxl cannot read, a formula whose value the file does not hold, or a workbook too
    large.
    """
    with needed("io"):
        import openpyxl

    try:
        with zipfile.ZipFile(path) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MOST:
                raise InputError(f"{path}: more than {MOST >> 20} MB unpacked, which no table of this kind needs")
        values = openpyxl.load_workbook(path, read_only=True, data_only=True)
        formulas = openpyxl.load_workbook(path, read_only=True)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: openpyxl cannot read it as a workbook ({error})") from None
    try:
        for sheet in values.worksheets:
            yield sheet.title, list(_rows(path, sheet, formulas[sheet.title]))
    finally:
        values.close()
        formulas.close()


def _rows(path: Path, sheet, formulas) -> Iterator[tuple[int, list]]:
    count = 0
    try:
        pairs = zip(sheet.iter_rows(), formulas.iter_rows(), strict=True)
        for number, (row, written) in enumerate(pairs, 1):
            count += len(row)
            if count > MOST_CELLS:
                raise InputError(f"{path}, sheet {sheet.title}: more than {MOST_CELLS} cells")
            cells = [_cell(path, sheet.title, value, formula) for value, formula in zip(row, written, strict=True)]
            if any(c != "" for c in cells):
                yield number, cells
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}, sheet {sheet.title}: openpyxl cannot read it ({error})") from None


def _cell(path: Path, sheet: str, cell, formula) -> str | float | datetime.datetime:
    value = cell.value
    if value is None and isinstance(formula.value, str) and formula.value.startswith("="):
        raise InputError(
            f"{path}, sheet {sheet}, cell {formula.coordinate}: a formula without its value: open the workbook in a "
            "spreadsheet program and save it"
        )
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value
    return str(value).strip()
