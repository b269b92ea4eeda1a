"""Failures that cannot be missed."""

import functools

import perfsim

from rows.row import ROOT, Found, Rows

perfsim.enable_x64()
perfsim.enable_compile_cache()
ROWS = Rows()
row = ROWS.add
STATES = ("rest", "hyperemia")


def says(function) -> str:
    """The sentence of the error that a call raises, or "" if it raises none."""
    from perfsim import InputError, SimulationError

    try:
        function()
    except (InputError, SimulationError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@functools.cache
def heart():
    """300 terminals, 4 mm, a 55 % lesion of the LAD."""
    from perfsim.cohorts import Stenosis, reference_heart

    return reference_heart(terminals=300, spacing=4e-3, stenoses=(Stenosis("LAD", 0.03, 0.55, 0.010),))


@functools.cache
def scan():
    """17 segments of it with tone 0.6, 1.1, 0.9 and throat 0.35."""
    from perfsim.coupling import simulate
    from perfsim.observe import LongAxis, Noise, Scan, Segments

    import equinox as eqx
    import jax.numpy as jnp

    h = heart()
    sim = eqx.tree_at(
        lambda s: (s.tissue.tone, s.lesions.throat), h.sim, (jnp.array([0.6, 1.1, 0.9]), jnp.array([0.35]))
    )
    empty = Scan(STATES, jnp.zeros((2, 17)), Noise(0.12, 0.02), Segments(LongAxis.of(h.wall.frame)))
    return eqx.tree_at(lambda s: s.value, empty, empty.predict(sim, simulate(sim)))


def changed(where, value):
    import equinox as eqx
    import jax.numpy as jnp

    return eqx.tree_at(where, heart().sim, jnp.asarray(value))


@row("T1", "a fit whose solves fail: not converged; the result names the solves and what to change")
def fit_of_failed_solves() -> Found:
    from perfsim.flow import Steady
    from perfsim.inverse import fit

    end = fit(heart().sim, [scan()], flow=Steady(max_steps=1), throw=False)
    raised = says(lambda: fit(heart().sim, [scan()], flow=Steady(max_steps=1)))
    holds = not end.converged and set(end.failed) == set(STATES) and "max_steps" in end.message and raised
    return Found(
        f"{end.result.name}; {', '.join(end.failed)}: {next(iter(end.failed.values())).name}; raised", holds, 2
    )


@row("T2", "a fit from a 96 % lesion works; bounds of case files, occlude and fits agree")
def fit_from_an_occlusion() -> Found:
    from perfsim.inverse import fit
    from perfsim.study import occlude

    import numpy as np

    starts = [changed(lambda s: s.lesions.throat, [t]) for t in (0.04, 0.03)] + [occlude(heart().sim, "LAD", 0.03)]
    ends = [fit(s, [scan()], throw=False) for s in starts]
    refused = says(lambda: fit(changed(lambda s: s.lesions.throat, [0.015]), [scan()]))
    sound = all(np.isfinite(e.after).all() and e.cost_after < e.cost_before and not e.failed for e in ends)
    throats = ", ".join(f"{e.after[3]:.3f} ({e.result.name})" for e in ends)
    return Found(f"throats from 0.04, 0.03, occlude: {throats}; 0.015 refused", sound and "0.02" in refused, 4)


@row("T3", "a fit from hematocrit 0.72, then its posterior: finite, or refused with value and bound")
def fit_of_thick_blood() -> Found:
    from perfsim.inverse import fit, posterior

    import numpy as np

    start = changed(lambda s: s.viscosity.hematocrit, 0.72)
    end = fit(start, [scan()], ("tone", "throat", "hematocrit"))
    sd = posterior(end).sd
    refused = says(lambda: fit(changed(lambda s: s.viscosity.hematocrit, 0.76), [scan()], ("hematocrit",)))
    return Found(
        f"hematocrit {end.after[-1]:.3f}, sd {sd[-1]:.2f} of the prior's; 0.76 refused",
        np.isfinite(end.after).all() and np.isfinite(sd).all() and "0.76" in refused, 2,
    )  # fmt: skip


@row("T4", "a linear solve that misses its tolerance is reported, in value and derivative")
def missed_linear_solves() -> Found:
    from perfsim.coupling import simulate
    from perfsim.flow import Steady

    import equinox as eqx
    import jax
    import jax.numpy as jnp

    sim, flow = heart().sim, Steady(max_krylov=1)
    said = says(lambda: simulate(sim, flow))
    near = simulate(sim, states="hyperemia")

    def at(tone, flow, throw):
        state = simulate(
            eqx.tree_at(lambda s: s.tissue.tone, sim, tone), flow, states="hyperemia", near=near, throw=throw
        )
        return jnp.mean(state.hyperemia.mbf)

    slope = eqx.filter_jit(jax.grad(at))
    good, bad = (
        slope(sim.tissue.tone, f, True) for f in (Steady(tolerance=1e-9), Steady(tolerance=1e-9, max_krylov=1))
    )
    holds = "max_krylov" in said and bool(jnp.all(jnp.isfinite(good))) and bool(jnp.all(jnp.isnan(bad)))
    return Found(
        f"value: linear_not_converged raised; gradient {float(good.sum()):.3f} with enough steps, NaN with 1", holds, 2
    )


@row("T5", "darcy.solve out of steps: flagged; a sink of zero with an unbalanced load: refused")
def tissue_solves() -> Found:
    from perfsim import darcy

    import jax.numpy as jnp
    import numpy as np

    cube = darcy.box([0.03] * 3, [6] * 3)[0]
    K, load = jnp.full(216, 4e-6), cube.volume * jnp.asarray(np.random.default_rng(0).standard_normal(216))
    short = says(lambda: darcy.solve(cube, K, cube.volume, load, max_steps=2))
    undrained = says(lambda: darcy.solve(cube, K, 0.0 * cube.volume, load))
    _, info = darcy.solve(cube, K, cube.volume, load, max_steps=2, throw=False)
    holds = "max_steps" in short and "Nothing drains" in undrained
    return Found(f"raised, imbalance {float(info.imbalance):.0e} named; not_drained raised", holds, 2)


@row("T6", "every member of RESULTS is provoked by a test")
def provoked_results() -> Found:
    from perfsim._results import RESULTS

    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("test_*.py"))
    missing = [r.name for r in RESULTS if r.name not in tests]
    return Found(
        f"{len(RESULTS) - len(missing)} of {len(RESULTS)}" + "".join(f", not {m}" for m in missing),
        not missing,
        len(RESULTS),
    )


@row("T7", "check of a batch: how many members failed, the first, and why")
def failed_members() -> Found:
    from perfsim.coupling import check, simulate

    import equinox as eqx
    import jax
    import jax.numpy as jnp

    sim = heart().sim
    tone = jnp.ones((64, 3)).at[jnp.array([17, 30, 63])].set(jnp.nan)
    batch = jax.vmap(lambda t: simulate(eqx.tree_at(lambda s: s.tissue.tone, sim, t), states="hyperemia"))(tone)
    said = says(lambda: check(batch))
    return Found(
        said.split(". ")[0].removeprefix("SimulationError: "),
        "3 of 64 members failed: the first is 17, not_finite" in said,
        64,
    )


@row("T8", "a state that was not solved, a name of a state as text: one clear sentence")
def missing_states() -> Found:
    from perfsim.coupling import simulate

    solution = simulate(heart().sim, states="hyperemia")
    said = says(lambda: solution.rest)
    text = simulate(heart().sim, states="rest")
    unknown = says(lambda: simulate(heart().sim, states="e"))
    return Found(
        f"{said}; states='rest' works",
        "holds hyperemia, not 'rest'" in said and "rest" in text.states and "'e'" in unknown,
        3,
    )


@row("T9", "draws whose solve failed are dropped and counted; all failed: a named result")
def failed_draws() -> Found:
    import dataclasses

    from perfsim.flow import Steady
    from perfsim.inverse import fit, posterior
    from perfsim.inverse.posterior import Posterior

    import numpy as np

    class Broken(Posterior):
        def draw(self, count, seed=0):
            found = super().draw(count, seed)
            found[[1, 4]] = np.nan
            return found

    end = fit(heart().sim, [scan()])
    known = posterior(end)
    fields = {f.name: getattr(known, f.name) for f in dataclasses.fields(known)}
    sample = Broken(**fields).sample(lambda s: s.hyperemia.inlet_flow, 8)
    bad = dataclasses.replace(end, problem=dataclasses.replace(end.problem, flow=Steady(max_steps=1)))
    said = says(lambda: dataclasses.replace(known, fit=bad).sample(lambda s: s.hyperemia.inlet_flow, 4))
    holds = sample.failed == 2 and np.isfinite(sample.mean()).all() and "failed for every draw" in said
    return Found(f"{sample.failed} of 8 dropped and counted; all failed: {said.split(':')[1].strip()}", holds, 12)


@row("T10", "demand 0, a field of NaN, a vessel of 0.1 µm: refused, or NaN with a result")
def degenerate_states() -> Found:
    from perfsim._results import RESULTS
    from perfsim.coupling import State, simulate
    from perfsim.flow import Balance, Steady, minimize
    from perfsim.flow.edges import supply_conductance

    import jax
    import jax.numpy as jnp
    import numpy as np

    demand = says(lambda: State("rest", 1.2e4, 1e3, 2e3, 0.0))
    slope = jax.grad(lambda d: supply_conductance(d, jnp.asarray(2.0), jnp.asarray(1e30)))(0.0)
    x, counters = minimize(
        lambda x: Balance(x * jnp.nan, jnp.ones(())),
        lambda x, F, rtol: (-F, 1, True),
        jnp.ones(3),
        jnp.ones(3),
        Steady(),
    )
    vessel = int(np.flatnonzero(np.asarray(heart().sim.network.measured))[-1])
    thin = changed(lambda s: s.network.lumen, heart().sim.network.lumen.at[vessel].set(1e-7))
    narrow = says(lambda: simulate(thin))
    holds = (
        "cannot be maintained" in demand
        and bool(np.isfinite(slope))
        and bool(np.isnan(x).all())
        and "narrower than 1 µm" in narrow
    )
    return Found(
        "refused; NaN, not_finite; vessel_too_narrow raised", holds and int(counters.result) == RESULTS.not_finite, 3
    )


@row("T11", "float32, 2,000 terminals, 3 mm, rest: successful and right; 0.24 % out of balance never successful")
def single_precision() -> Found:
    from perfsim.cohorts import reference_heart
    from perfsim.coupling import simulate

    import numpy as np

    sim = reference_heart(terminals=2000, spacing=3e-3).sim
    exact, single = (simulate(sim, states="rest", precision=p, throw=False).rest for p in ("f64", "f32"))
    error = float(np.max(np.abs(single.mbf - exact.mbf)) / np.mean(exact.mbf))
    balance = float(single.counters.imbalance)
    good = int(single.counters.result) == 0 and error < 1e-5 and balance < 1e-4
    said = f"{int(single.counters.newton)} Newton steps, {balance:.0e} beyond rounding; MBF off by at most {error:.0e}"
    return Found(said, good, len(exact.mbf))
