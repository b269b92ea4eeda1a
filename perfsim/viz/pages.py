"""HTML pages from the templates beside this file. What is put in is escaped unless a template calls it safe."""

import base64
import functools
import gzip
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


@functools.cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["base64"] = lambda data: base64.b64encode(data).decode()
    found.filters["packed"] = packed
    return found


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template, named without its ending, and write it."""
    path.write_text(_templates().get_template(f"{template}.html.j2").render(**values), encoding="utf-8")


def packed(text: str) -> str:
    """Text as gzip in base64, which the page's script unpacks: a third of its size."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@functools.cache
def packed_plotly() -> str:
    """The code that draws interactive figures, packed."""
    from plotly.offline import get_plotlyjs

    return packed(get_plotlyjs())


def as_json(content: Any) -> str:
    """Figures as JSON; arrays are base64 of float32, int16, int32 or bytes, which the page's script unpacks."""
    return json.dumps(content, default=_array, separators=(",", ":"))


def _array(value: Any) -> Any:
    if hasattr(value, "to_plotly_json"):
        return value.to_plotly_json()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        kind = {"f": "f4", "i": "i4", "u": "i4"}[value.dtype.kind]
        kind = {np.dtype(np.int16): "i2", np.dtype(np.uint8): "u1"}.get(value.dtype, kind)
        return {"dtype": kind, "bdata": base64.b64encode(np.ascontiguousarray(value, f"<{kind}")).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a figure")


def png(figure: Figure) -> bytes:
    """A drawn figure as an image of 256 colors, a third of the size of one of all colors."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(110)
    canvas.draw()
    picture, buffer = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256), io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()
