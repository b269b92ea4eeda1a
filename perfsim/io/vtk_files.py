"""VTK files, written so that a full disk is an error like any other."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perfsim._extras import needed

with needed("io"):
    import pyvista as pv


def add_names(mesh: Any, title: str, names: Iterable[str]) -> None:
    """Keep names with a mesh, in any alphabet: pyvista refuses letters that are not ASCII, VTK's files hold UTF-8."""
    from vtkmodules.vtkCommonCore import vtkStringArray

    array = vtkStringArray()
    array.SetName(title)
    for name in names:
        array.InsertNextValue(name)
    mesh.GetFieldData().AddArray(array)


def save_mesh(path: Path, mesh: Any) -> None:
    """Write a mesh as .vtp or .vtu (lines and surfaces, or volumes).

    VTK makes the file in memory and Python writes it: where a disk is full VTK itself writes files that are cut without
    a word, or ends the process. Raises `OSError` where it cannot be written.
    """
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter, vtkXMLUnstructuredGridWriter

    writer = vtkXMLPolyDataWriter() if isinstance(mesh, pv.PolyData) else vtkXMLUnstructuredGridWriter()
    writer.SetInputDataObject(mesh)
    writer.SetDataModeToBinary()
    writer.WriteToOutputStringOn()
    if not writer.Write():
        raise OSError(f"VTK could not write {path.name}")
    content = writer.GetOutputString()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
