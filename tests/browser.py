"""Pages as a browser shows them: Chromium without a screen, and the rules of axe-core for who cannot see or click."""

import html
import importlib.resources
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

AXE = ("axe_playwright_python", "axe_core_python")
"""packages that bring axe-core along"""
LOOK = """<script>setTimeout(async () => {
  const found = {width: document.documentElement.scrollWidth, seen: window.innerWidth, lang: document.documentElement.lang,
    canvas: [...document.querySelectorAll("canvas")].length, svg: document.querySelectorAll(".figure .main-svg").length,
    first: [...document.querySelectorAll("h2")].slice(0, 2).map(h => h.textContent),
    keyboard: [...document.querySelectorAll("select, button, a[href], [tabindex]")].filter(x => x.tabIndex >= 0).length,
    broken: [...document.images].filter(i => !i.naturalWidth || !i.alt).length, violations: []};
  if (window.axe) {
    const run = await axe.run(document, {resultTypes: ["violations"]});
    found.violations = run.violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v => v.id + ": " + v.nodes[0].html.slice(0, 120));
    found.axe = axe.version;
  }
  parent.document.title = JSON.stringify(found);
}, 9000)</script>"""


def browser() -> str:
    """The program; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium, which is not installed")
    return found


def axe_script() -> str:
    """The code of axe-core, "" where no package brings it."""
    for package in AXE:
        if importlib.util.find_spec(package):
            return next(p.read_text() for p in importlib.resources.files(package).iterdir() if p.name == "axe.min.js")
    return ""


def looked_at(page: Path, width: int, scratch: Path) -> tuple[dict, list[str]]:
    """(what the page is like at this width, errors on its console)."""
    copy = scratch / f"{page.stem}-{width}.html"
    script = f"<script>{axe_script()}</script>{LOOK}</body>"
    inner = html.escape(page.read_text(encoding="utf-8").replace("</body>", script))
    frame = (
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{inner}"></iframe>'  # a window has 500 pixels
    )
    copy.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{frame}</body>", encoding="utf-8")
    run = subprocess.run(
        [
            browser(), "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={scratch / 'profile'}", "--enable-logging=stderr", "--v=0",
            "--window-size=1400,900", "--virtual-time-budget=60000", "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    errors = [line for line in run.stderr.splitlines() if "CONSOLE" in line and ("rror" in line or "Uncaught" in line)]
    title = re.search(r"<title>(\{.*?\})</title>", run.stdout, flags=re.S)
    assert title, f"the page's script did not end: {run.stderr[-2000:]}"
    return json.loads(html.unescape(title[1])), errors
