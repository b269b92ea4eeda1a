"""Lumen radii: what was measured, what the radius law gives, and what lesions take away."""

from perfsim._results import InputError
from perfsim.network.vessels import VesselNetwork
from perfsim.physiology import LEAST_THROAT

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

SHOULDER = 2.5e-3  # [m]; with it the distributed loss agrees with Young and Tsai's to 5 % for 10 mm lesions


class Lesions(eqx.Module):
    """Concentric stenoses on named branches: a plateau with smooth shoulders.

    At the distance d = |s - center| from the throat's middle the lumen radius is multiplied by
    1 - (1 - throat) φ, where φ is 1 on the plateau (d ≤ length/2) and falls to 0 by a quintic step over a shoulder
    of 2.5 mm on either side (twice continuously differentiable, so that lesions can be moved by gradients).
    """

    center: Float[Array, " sites"] = eqx.field(converter=jnp.asarray)
    """position of the throat along its branch [m]"""
    length: Float[Array, " sites"] = eqx.field(converter=jnp.asarray)
    """length of the plateau [m]"""
    throat: Float[Array, " sites"] = eqx.field(converter=jnp.asarray)
    """throat diameter over healthy diameter d/D"""
    branch: Int[Array, " sites"] = eqx.field(converter=jnp.asarray)

    def factor(self, network: VesselNetwork) -> Float[Array, "vessels 2"]:
        """What the lesions leave of the healthy radius, at both ends of each vessel."""
        distance = jnp.abs(network.coordinate[..., None] - self.center)
        ramp = jnp.clip((distance - 0.5 * self.length) / SHOULDER, 0.0, 1.0)
        depth = 1.0 - ramp**3 * (10.0 - 15.0 * ramp + 6.0 * ramp**2)
        here = network.branch[:, None, None] == self.branch
        return jnp.prod(jnp.where(here, 1.0 - (1.0 - self.throat) * depth, 1.0), axis=-1)


def no_lesions() -> Lesions:
    """The healthy case."""
    return Lesions(jnp.zeros(0), jnp.ones(0), jnp.ones(0), jnp.zeros(0, int))


def stenosis(network: VesselNetwork, branch: str, position: float, diameter_reduction: float, length: float) -> Lesions:
    """One stenosis: `position` of its throat along the branch [m], `diameter_reduction` in [0, 0.98), `length` [m].

    Raises `InputError` for an unknown branch, a position beyond the branch's end, or an impossible reduction.
    """
    if branch not in network.branch_names:
        known = ", ".join(name for name in network.branch_names)
        raise InputError(f"there is no branch {branch!r}: the network has {known}")
    index = network.branch_names.index(branch)
    end = float(np.max(np.asarray(network.coordinate)[np.asarray(network.branch) == index, 1], initial=0.0))
    if not 0.0 <= position <= end:
        raise InputError(
            f"a stenosis at {position * 1e3:.4g} mm does not lie on {branch}, which is {end * 1e3:.4g} mm long"
        )
    if not 0.0 <= diameter_reduction < 1.0 - LEAST_THROAT:
        raise InputError(
            f"a stenosis on {branch} has the diameter reduction {diameter_reduction:.4g}: give at least 0 and less "
            f"than {1.0 - LEAST_THROAT:g} (an occlusion is one of 0.97)"
        )
    if not length > 0.0:
        raise InputError(f"a stenosis on {branch} has the length {length * 1e3:.4g} mm: it must be positive")
    site = np.array([position]), np.array([length]), np.array([1.0 - diameter_reduction])
    return Lesions(*site, np.array([index]))


def join(*lesions: Lesions) -> Lesions:
    """Several lesions as one record."""
    return Lesions(
        *(jnp.concatenate([getattr(x, f) for x in lesions]) for f in ("center", "length", "throat", "branch"))
    )


def radii(network: VesselNetwork, lesions: Lesions) -> Float[Array, "vessels 2"]:
    """Lumen radius [m] at both ends of each vessel.

    Measured lumens are kept; all others follow r = r₀ (Q/Q₀)^(1/γ), (r₀, Q₀) the healthy proximal lumen and the
    design flow of the vessel's inlet, never a local or stenosed lumen. Lesions narrow either kind.
    """
    flow, inlet_flow = network.design_flow()
    fraction = flow / jnp.where(inlet_flow == 0, 1.0, inlet_flow)[network.root]
    lawful = ~network.measured
    safe = jnp.where(lawful & (fraction > 0), fraction, 1.0)  # measured vessels may carry no design flow
    # exp and log instead of a power, whose derivative by base and exponent costs two more powers
    law = network.root_radius[network.root] * jnp.exp(jnp.log(safe) / network.exponent)
    healthy = jnp.where(lawful[:, None], law[:, None], network.lumen)
    return healthy * lesions.factor(network)
