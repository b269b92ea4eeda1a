"""Every Python example of the documentation runs, page by page, in order."""

import re
import shutil
from pathlib import Path

import perfsim

import numpy as np
import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
SMALLER = (
    ("steps=20", "steps=5"),
    ("terminals=2000", "terminals=150, spacing=5e-3"),
    ("jnp.linspace(0.25, 1.0, 8)", "jnp.linspace(0.4, 1.0, 2)"),
)


QUICK = ("tutorial", "python")
"""pages whose examples run by default; those of the others are slow tests"""


def _marks(page: Path) -> list:
    return [pytest.mark.docs] if page.stem in QUICK else [pytest.mark.docs, pytest.mark.slow]


@pytest.mark.programs(40)
@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=_marks(p), id=p.stem) for p in PAGES if "```python" in p.read_text()]
)
def test_examples_run(page, tmp_path, monkeypatch):
    """On a smaller heart than the text says, so that it takes seconds."""
    monkeypatch.chdir(tmp_path)
    for folder in ("examples",):
        shutil.copytree(page.parents[1] / folder, tmp_path / folder)
    text = page.read_text()
    space: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        for old, new in SMALLER:
            block = block.replace(old, new)
        exec(compile(block, page.name, "exec"), space)
    for name, value in space.items():
        if isinstance(value, perfsim.Solution):  # one, or a batch
            for state, found in value.in_order():
                assert not np.any(np.asarray(found.counters.result)), f"{name}, {state}"
                assert np.isfinite(np.asarray(found.flow)).all(), f"{name}, {state}"


def test_what_is_made_smaller_is_there():
    """Every replacement replaces something, and no heart of more than 300 terminals is left in an example."""
    code = {p.name: "\n".join(re.findall(r"```python\n(.*?)```", p.read_text(), flags=re.S)) for p in PAGES}
    for old, _ in SMALLER:
        assert any(old in text for text in code.values()), f"no page says {old!r} any more"
    for name, text in code.items():
        for old, new in SMALLER:
            text = text.replace(old, new)
        large = [n for n in re.findall(r"terminals=([\d_]+)", text) if int(n) > 300]
        assert not large, f"{name} grows {large} terminals: name it in SMALLER"
        for call in re.findall(r"reference_heart\(([^)]*)", text):
            assert "terminals=" in call, f"{name} grows a full heart: reference_heart({call})"


def test_every_public_name_has_its_line():
    """The API page lists what `perfsim` exports, and nothing else."""
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
    listed = set(re.findall(r"^\| `perfsim\.(\w+)", text, flags=re.M))
    assert listed == set(perfsim.__all__) - {"__version__"}
    for name in listed:
        assert (getattr(perfsim, name).__doc__ or "").strip()


def test_links_between_pages_exist():
    root = Path(__file__).parents[1]
    for page in [*PAGES, root / "README.md", root / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
