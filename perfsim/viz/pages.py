"""HTML pages from the templates beside this file. What is put in is escaped unless a template calls it safe."""

import base64
import functools
from pathlib import Path
from typing import Any

import jinja2


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
    return found


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template, named without its ending, and write it."""
    path.write_text(_templates().get_template(f"{template}.html.j2").render(**values), encoding="utf-8")
