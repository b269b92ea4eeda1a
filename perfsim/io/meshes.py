"""Meshes that VTK reads, checked before any filter touches them."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perfsim._extras import needed
from perfsim._results import InputError

import numpy as np

with needed("io"):
    import pyvista as pv


def load(path: Path) -> pv.DataSet:
    """Points and cells of any file that VTK reads; checked to be finite and to name points that are there."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with _quiet():
            mesh = pv.read(path)
    except Exception as error:
        raise InputError(f"{path}: VTK cannot read it ({error})") from None
    if not isinstance(mesh, pv.DataSet) or mesh.n_points == 0:
        raise InputError(f"{path}: holds no points that VTK can read")
    bad = np.flatnonzero(~np.isfinite(mesh.points).all(1))
    if len(bad):
        raise InputError(f"{path}: point {bad[0]} lies at {mesh.points[bad[0]]}: coordinates must be finite")
    _check_cells(path, mesh)
    return mesh


@contextmanager
def _quiet() -> Iterator[None]:
    """Without VTK's own account of what it stumbles over, which pyvista sends to the root logger from this thread: the
    checks decide what is usable, and say it better. All other records pass.
    """
    here = threading.get_ident()

    def not_of_vtk(record: logging.LogRecord) -> bool:
        return record.thread != here or "pyvista" not in record.pathname

    root = logging.getLogger()
    root.addFilter(not_of_vtk)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(not_of_vtk)


def _check_cells(path: Path, mesh: pv.DataSet) -> None:
    """VTK's filters follow the cells' point numbers without looking: numbers that are off end the process."""
    arrays = [mesh.GetCells()] if isinstance(mesh, pv.UnstructuredGrid) else []
    if isinstance(mesh, pv.PolyData):
        arrays = [mesh.GetVerts(), mesh.GetLines(), mesh.GetPolys(), mesh.GetStrips()]
    for cells in arrays:
        named = np.asarray(pv.convert_array(cells.GetConnectivityArray()))
        start = np.asarray(pv.convert_array(cells.GetOffsetsArray()))
        if len(start) and (start[0] < 0 or start[-1] > len(named) or (np.diff(start) < 0).any()):
            raise InputError(f"{path}: its cells' offsets do not fit their list of points: the file is damaged")
        bad = np.flatnonzero((named < 0) | (named >= mesh.n_points))
        if len(bad):
            cell = int(np.searchsorted(start, bad[0], side="right")) - 1
            raise InputError(
                f"{path}: cell {cell} names point {named[bad[0]]}; points run from 0 to {mesh.n_points - 1}"
            )
