"""Tracers that leave the blood and come back: extended Tofts, two-compartment exchange, others by integration."""

from collections.abc import Callable

from perfsim.observe.tracers.curves import Curve, Frames
from perfsim.observe.tracers.kinetics import convolved, convolved_at, frame_means

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class ExtendedTofts(eqx.Module):
    """C = v_p A + K (e^(-K t/v_e) ∗ A), K = K_trans (Tofts et al. 1999, J Magn Reson Imaging 10:223)."""

    K_trans: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)
    """[1/s]"""
    v_e: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)
    v_p: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)

    def at(self, plasma: Curve, time: Float[Array, " times"]) -> Float[Array, "... times"]:
        """Concentration at points of time [s]."""
        rate = self.K_trans / self.v_e
        return self.v_p[..., None] * plasma(time) + self.K_trans[..., None] * convolved_at(plasma, rate, time)

    def means(self, plasma: Curve, frames: Frames) -> Float[Array, "... frames"]:
        """Means over frames."""
        rate = self.K_trans / self.v_e
        return self.v_p[..., None] * frame_means(plasma, frames) + self.K_trans[..., None] * convolved(
            plasma, rate, frames
        )


class Exchange(eqx.Module):
    """Two-compartment exchange: v_p dC_p/dt = F (A - C_p) - PS (C_p - C_e), v_e dC_e/dt = PS (C_p - C_e).

    C = v_p C_p + v_e C_e = F [(1 - E) e^(-αt) + E e^(-βt)] ∗ A with α > β (Sourbron and Buckley 2012, Phys Med Biol
    57:R1).
    """

    flow: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)
    """F, of plasma [1/s]"""
    permeability: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)
    """PS [1/s]"""
    v_p: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)
    v_e: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)

    def means(self, plasma: Curve, frames: Frames) -> Float[Array, "... frames"]:
        """Means over frames."""
        out, back, turn = (self.permeability + self.flow) / self.v_p, self.permeability / self.v_e, self.flow / self.v_p
        half, root = 0.5 * (out + back), 0.5 * jnp.sqrt((out + back) ** 2 - 4.0 * back * turn)
        alpha, beta = half + root, half - root
        slow = ((alpha - turn) / (2.0 * root))[..., None]
        parts = (1.0 - slow) * convolved(plasma, alpha, frames) + slow * convolved(plasma, beta, frames)
        return self.flow[..., None] * parts

    def rates(self, t, C: Float[Array, "2 ..."], A: Float[Array, ""]) -> Float[Array, "2 ..."]:
        """d(v_p C_p, v_e C_e)/dt, for `by_integration`."""
        plasma, interstitium = C[0] / self.v_p, C[1] / self.v_e
        crossing = self.permeability * (plasma - interstitium)
        return jnp.stack([self.flow * (A - plasma) - crossing, crossing])


def by_integration(
    rates: Callable[[Array, Array, Array], Array],
    start: Float[Array, "compartments ..."],
    blood: Curve,
    frames: Frames,
    *,
    rtol: float = 1e-8,
    steps: int = 100_000,
) -> Float[Array, "compartments ... frames"]:
    """Means over frames of compartments with any kinetics dC/dt = rates(t, C, A(t)), by diffrax.

    For what has no closed form: rates that change during the scan, or that saturate. Steps end where the blood curve
    bends. NaN where the solution was not reached in so many `steps`. The solver is implicit: its compiled code and
    gradient hold host callbacks, which keep programs from the disk cache.
    """

    import diffrax  # here, not above: it takes a second to load, and few need it

    def slope(t, y, _):
        C, _total = y
        return rates(t, C, blood(t)), C

    edges = frames.edges
    order = jnp.argsort(edges)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(slope),
        diffrax.Kvaerno5(),
        t0=jnp.minimum(blood.time[0], 0.0),
        t1=jnp.max(edges),
        dt0=None,
        y0=(start, jnp.zeros_like(start)),
        saveat=diffrax.SaveAt(ts=edges[order]),
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=rtol, atol=1e-3 * rtol), jump_ts=blood.time
        ),
        max_steps=steps,
        throw=False,
    )
    total = jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[1], jnp.nan)
    return frames.means(jnp.moveaxis(total[jnp.argsort(order)], 0, -1))
