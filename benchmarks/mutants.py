"""Do the tests notice wrong code? Small faults are put into the package one at a time, and the tests are run.

Kinds of fault: a comparison or a sign turned, × for ÷, minimum for maximum, `and` for `or`, a constant 1 % too large,
two arguments or two returned values exchanged, a guard that never refuses. Each is drawn at random from all places of
the chosen packages and put into a copy of the project; the tree itself is never touched.

A first run of every test file under `coverage` stores which tests reach which lines. A mutant is then shown the tests
that reach its line, quickest first, then their whole files, until one fails or its budget of CPU-seconds is spent.
`killed` counts failing tests; what survives and changes nothing that anybody can see is listed with its reason in
`mutants_equivalent.toml`. `silent` leaves out the mutants that died of an exception of Python's own: the others only
make an answer wrong or a refusal absent.

The state (`--state`) keeps reached lines and results: a stopped run goes on where it was; `--retry` runs survivors
again after tests were added.
"""

import argparse
import functools
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import time
import tomllib
import traceback
from dataclasses import asdict
from pathlib import Path

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "MPLBACKEND": "Agg",
    "COLUMNS": "300",
}

import coverage
import hypothesis  # noqa: F401
import jax.numpy  # noqa: F401
import nibabel  # noqa: F401
import pydantic  # noqa: F401
import pytest
import pyvista  # noqa: F401
import scipy.optimize  # noqa: F401
from faults import ROOT, Mutant, changed, draw

PACKAGES = ("io", "observe", "network", "anatomy", "blood", "flow", "growth", "inverse", "cohorts")
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")
CRASHES = re.compile(
    r"(Type|Attribute|Index|Key|Name|Value|Import|ZeroDivision|Memory|Recursion|Unbound\w*)Error|^ERROR"
)


class Laboratory:
    """A copy of the project to break, and what is known of its tests."""

    def __init__(self, state: Path):
        self.state, self.tree = state.resolve(), state.resolve() / "tree"
        self.tree.mkdir(parents=True, exist_ok=True)
        for name in ("perfsim", "tests", "docs", "examples", "benchmarks"):
            shutil.rmtree(self.tree / name, ignore_errors=True)
            shutil.copytree(ROOT / name, self.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*ROOT.glob("*.toml"), *ROOT.glob("*.md")]:
            shutil.copy(path, self.tree)
        self.reached: dict[str, dict] = {}

    def run(self, task, limit: float) -> tuple[int, str, float]:
        """(exit status, output, CPU-seconds) of `task`() in a copy of this process that sees only the copied project.

        The copy has numpy, jax and VTK already, which take longer to import than most tests to run. It ends after
        `limit` CPU-seconds.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = self.state / "output.txt"
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._move_in(said, limit)
                status = int(task())
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return status, said.read_text(errors="replace"), seconds

    def _move_in(self, said: Path, limit: float) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.chdir(self.tree)
        sys.path[:] = [str(self.tree), *(p for p in sys.path if p != str(ROOT))]
        os.environ["PYTHONPATH"] = str(self.tree)
        sys.dont_write_bytecode = True

    def learn(self, files, limit: float) -> None:
        """Run each test file once, and store what its tests reach and cost."""
        for name in files:
            path = ROOT / "tests" / name
            key = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            store = self.state / "reached" / f"{path.stem}-{key}.json"
            if not store.exists():
                store.parent.mkdir(exist_ok=True)
                status, said, cost = self.run(functools.partial(reach, self.tree, path.name, store), limit)
                if status or not store.exists():
                    store.unlink(missing_ok=True)
                    print(f"{name}: left out, it fails or takes over {limit:g} s ({status})\n{said[-800:]}", flush=True)
                    continue
                print(f"{name}: reached in {cost:.0f} CPU-s", flush=True)
            self.reached[name] = json.loads(store.read_text())

    def plan(self, mutant: Mutant) -> list[tuple[list[str], float]]:
        """Runs of tests with what each costs unchanged: the quickest tests that reach a mutant, then their files."""
        tests: dict[str, float] = {}
        files: dict[str, float] = {}
        for name, found in self.reached.items():
            lines = found["lines"].get(mutant.file, {})
            at = {t for k in range(mutant.line, mutant.last_line + 1) for t in lines.get(str(k), ())}
            if at == {""}:  # read at import: by anything that runs another line of the module
                at |= {t for tests in lines.values() for t in tests}
            if at - {""}:
                files[name] = sum(found["seconds"].values()) + 4.0
                tests |= {t: found["seconds"].get(t, 1.0) for t in at - {""}}
        order = sorted(tests, key=tests.get)
        quick, total = [], 0.0
        for test in order:
            total += tests[test]
            if quick and total > 8.0:
                break
            quick.append(test)
        cost = sum(tests[t] for t in quick) + 4.0
        whole = [([f"tests/{name}"], files[name]) for name in sorted(files, key=files.get)]
        return [(quick, cost), *whole] if quick else []

    def judge(self, mutant: Mutant, budget: float) -> dict:
        """Put the mutant in, run its tests, take it out."""
        spent, tried = 0.0, 0
        (self.tree / mutant.file).write_text(changed(mutant))
        try:
            for tests, cost in self.plan(mutant):
                if tried and spent + cost > budget:
                    break
                limit = 60.0 + 8.0 * cost
                options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=no", "-rfE"]
                status, said, seconds = self.run(functools.partial(pytest.main, [*options, *tests]), limit)
                spent, tried = spent + seconds, tried + 1
                if status:
                    line = next((w for w in said.splitlines() if w.startswith(("FAILED", "ERROR"))), said[-200:])
                    return {"result": "killed", "by": line, "seconds": round(spent, 1)}
        finally:
            shutil.copy(ROOT / mutant.file, self.tree / mutant.file)
        return {"result": "survived" if tried else "not reached", "by": "", "seconds": round(spent, 1)}


def reach(tree: Path, name: str, store: Path) -> int:
    """Run one test file in this process under coverage, and write the tests by line and their seconds."""
    cov = coverage.Coverage(
        data_file=None, source=[str(tree / "perfsim")], config_file=False, messages=False, context=""
    )

    class Contexts:
        seconds: dict[str, float] = {}  # noqa: RUF012

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_protocol(self, item):
            started = time.process_time()
            cov.switch_context(item.nodeid)
            yield
            cov.switch_context("")
            self.seconds[item.nodeid] = round(time.process_time() - started, 2)

    cov.start()
    status = pytest.main(["-q", "-n0", "-p", "no:cacheprovider", "--tb=short", f"tests/{name}"], plugins=[Contexts()])
    cov.stop()
    data = cov.get_data()
    lines = {str(Path(f).relative_to(tree)): data.contexts_by_lineno(f) for f in data.measured_files()}
    if status == 0:
        store.write_text(json.dumps({"seconds": Contexts.seconds, "lines": lines}))
    return int(status)


def rates(rows: list[dict], seed: int) -> dict:
    """Shares of killed mutants among those that are not equivalent."""
    listed = tomllib.loads(EQUIVALENT.read_text()).get("mutant", []) if EQUIVALENT.exists() else []
    same = {m["index"] for m in listed if m["seed"] == seed}
    counted = [r for r in rows if r["index"] not in same or r["result"] == "killed"]
    killed = [r for r in counted if r["result"] == "killed"]
    silent = [r for r in killed if not CRASHES.search(r["by"])]
    left = len(counted) - len(killed)
    return {
        "seed": seed, "drawn": len(rows), "equivalent": len(rows) - len(counted), "killed": len(killed),
        "survived": left, "rate": round(len(killed) / max(len(counted), 1), 3),
        "silent": len(silent) + left, "silent_rate": round(len(silent) / max(len(silent) + left, 1), 3),
        "cpu_seconds": round(sum(r["seconds"] for r in rows)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packages", nargs="*", default=PACKAGES)
    parser.add_argument("--files", nargs="*", help="test files to use (default: all)")
    parser.add_argument("--budget", type=float, default=90.0, help="CPU-seconds a mutant")
    parser.add_argument("--limit", type=float, default=300.0, help="CPU-seconds of a test file that is still used")
    parser.add_argument("--state", type=Path, default=Path("out-mutants"))
    parser.add_argument("--retry", action="store_true", help="run survivors again")
    parser.add_argument("--only", type=int, nargs="*", help="these indices alone")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    arguments = parser.parse_args()
    mutants = draw(arguments.count, arguments.seed, arguments.packages)
    if arguments.list:
        for k, m in enumerate(mutants):
            print(f"{k:3d} {m.file}:{m.line} {m.kind}: {m.old!r} -> {m.new!r}")
        return
    laboratory = Laboratory(arguments.state)
    laboratory.learn(arguments.files or sorted(p.name for p in (ROOT / "tests").glob("test_*.py")), arguments.limit)
    store = laboratory.state / f"seed-{arguments.seed}.json"
    rows = {r["index"]: r for r in json.loads(store.read_text())} if store.exists() else {}
    for k, mutant in enumerate(mutants):
        known = rows.get(k)
        if known and {f: known[f] for f in asdict(mutant)} != asdict(mutant):
            known = None  # the code has changed since
        again = arguments.retry and known and known["result"] != "killed"
        if (arguments.only is None or k in arguments.only) and (not known or again):
            rows[k] = {"index": k} | asdict(mutant) | laboratory.judge(mutant, arguments.budget)
            store.write_text(json.dumps(list(rows.values()), indent=1))
            r = rows[k]
            print(f"{k:3d} {r['file']}:{r['line']} {r['kind']} {r['old']!r} -> {r['new']!r}: {r['result']} "
                  f"({r['seconds']} s) {r['by'][:150]}", flush=True)  # fmt: skip
    print(json.dumps(rates(list(rows.values()), arguments.seed), indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
