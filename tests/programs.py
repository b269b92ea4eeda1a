"""How many programs each test compiles: a pytest plugin that fails a test above its budget.

Nearly all of a test's time goes into compiling, and a program costs as much whatever the size of its arrays. What
counts is every request to compile, found in the cache on disk or not, so that the count does not depend on the machine.
Operations run one by one on arrays (`add`, `stage`, ...) are programs of one kernel each and have a budget of their own.
"""

import collections
import resource
import time

import jax
import pytest

BUDGET, SMALL = 25, 400
"""programs, and single operations, that a test may compile with its fixtures; `@pytest.mark.programs(n)` allows more"""
EVENT = "/jax/core/compile/backend_compile_duration"
LONG = 1.0
"""seconds from which on a compilation is named in the table"""
_made: collections.Counter = collections.Counter()
_long: list[str] = []


def _listen(event: str, seconds: float, **about):
    if event == EVENT:
        name = about.get("fun_name", "")
        _made["small" if _is_operation(name) else "program"] += 1
        if seconds >= LONG:
            _long.append(f"{name.removeprefix('jit(').rstrip(')')} {seconds:.0f}")


def _is_operation(name: str) -> bool:
    """Whether a program's name is that of one operation of jax, as `jit(add)`, `jit(_where)`, `jit(stage)`."""
    name = name.removeprefix("jit(").removesuffix(")").lstrip("_")
    return name in ("", "stage") or any(hasattr(m, name) for m in (jax.numpy, jax.lax, jax.random)) or "reduce_" in name


jax.monitoring.register_event_duration_secs_listener(_listen)


def compiled() -> int:
    """Programs compiled so far by this process, single operations left out."""
    return _made["program"]


def pytest_addoption(parser):
    parser.addoption("--programs", type=int, default=0, metavar="N", help="table of the N tests that compile most")


def pytest_configure(config):
    config.addinivalue_line("markers", f"programs(n): the test may compile n programs instead of {BUDGET}")


def _cpu() -> float:
    """CPU time of this process and of those it waited for [s]."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.stash[_START] = dict(_made), _cpu(), len(_long)
    return (yield)


_START = pytest.StashKey[tuple[dict, float, int]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    found = yield
    marker = item.get_closest_marker("programs")
    budget = marker.args[0] if marker else BUDGET
    before, *_ = item.stash[_START]
    for kind, most in (("program", budget), ("small", max(SMALL, 20 * budget))):
        made = _made[kind] - before.get(kind, 0)
        if made > most:
            pytest.fail(f"compiles {made} programs ({kind}) where {most} are allowed: share a heart or a fit", False)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.when == "teardown":
        before, cpu, named = item.stash[_START]
        made = tuple(_made[k] - before.get(k, 0) for k in ("program", "small"))
        item.user_properties.append(("cost", (*made, _cpu() - cpu)))
        item.user_properties.append(("long", ", ".join(_long[named:])))
    return (yield)


def pytest_terminal_summary(terminalreporter, config):
    count = config.getoption("programs")
    reports = [r for r in terminalreporter.stats.get("", []) if r.when == "teardown"]
    costs = {r.nodeid: dict(r.user_properties).get("cost", (0, 0, 0.0)) for r in reports}
    long = {r.nodeid: dict(r.user_properties).get("long", "") for r in reports}
    if not count or not costs:
        return
    files: dict = collections.defaultdict(lambda: (0, 0, 0.0))
    for name, cost in costs.items():
        at = name.split("::")[0]
        files[at] = tuple(a + b for a, b in zip(files[at], cost, strict=True))
    for title, table in (("files", files), ("tests", costs)):
        terminalreporter.section(f"programs, single operations, CPU seconds: {title}")
        for name, cost in sorted(table.items(), key=lambda kv: -kv[1][2])[:count]:
            terminalreporter.write_line("{:5d} {:6d} {:8.1f}  {}  {}".format(*cost, name, long.get(name, "")).rstrip())
    terminalreporter.write_line("{:5d} {:6d} {:8.1f}  in all".format(*map(sum, zip(*costs.values(), strict=True))))
