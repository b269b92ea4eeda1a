"""Sums over a tree that are exactly differentiable: cost, volume, pressure drop along every path.

Vessels are stored depth first, so that sums over subtrees and sums along paths are both differences of one cumulative
sum: value and gradient with respect to all positions, demands, γ and root radii cost a few passes over the vessels.
"""

from perfsim.blood import ConstantViscosity, Viscosity
from perfsim.network.lumen import no_lesions, radii
from perfsim.network.vessels import VesselNetwork

import jax.numpy as jnp
from jaxtyping import Array, Float


def murray_cost(network: VesselNetwork) -> Float[Array, ""]:
    """Σ (Q/ΣQ)^(2/γ) L over the vessels whose lumen follows the radius law [m]; what growth minimizes."""
    flow, inlet_flow = network.design_flow()
    lawful = ~network.measured & (flow > 0)
    share = jnp.where(lawful, flow, 1.0) / jnp.sum(inlet_flow)
    return jnp.sum(jnp.where(lawful, jnp.exp(2.0 / network.exponent * jnp.log(share)) * network.length, 0.0))


def lumen_volume(network: VesselNetwork) -> Float[Array, ""]:
    """Σ π (r₁² + r₁r₂ + r₂²)/3 L over all vessels [m³]."""
    a, b = radii(network, no_lesions()).T
    return jnp.sum(jnp.pi / 3.0 * (a**2 + a * b + b**2) * network.length)


def path_sum(network: VesselNetwork, per_vessel: Float[Array, " vessels"]) -> Float[Array, " vessels"]:
    """Sum of a quantity over each vessel and all vessels upstream of it, up to its inlet.

    A vessel adds its value where it starts and takes it back where its subtree ends.
    """
    change = jnp.concatenate([per_vessel, jnp.zeros(1)]).at[network.subtree_end].add(-per_vessel)
    return jnp.cumsum(change)[:-1]


def pressure_drop(
    network: VesselNetwork, flow_per_demand: float, viscosity: Viscosity | None = None
) -> Float[Array, " vessels"]:
    """Poiseuille pressure drop from the inlet to the far end of every vessel at the design flows [Pa].

    `flow_per_demand` [1/s] turns demands [m³ of tissue] into flow; Q = demand × it. Friction is that of the linear
    taper, 128 μ(D) L (1/D₁² + 1/(D₁D₂) + 1/D₂²)/(3π D₁ D₂) with μ at the mean diameter.
    """
    viscosity = ConstantViscosity() if viscosity is None else viscosity
    flow, _ = network.design_flow()
    D = 2.0 * radii(network, no_lesions())
    a, b = D.T
    taper = (1.0 / a**2 + 1.0 / (a * b) + 1.0 / b**2) / (3.0 * a * b)
    resistance = 128.0 / jnp.pi * viscosity(jnp.mean(D, axis=1)) * network.length * taper
    return path_sum(network, resistance * flow * flow_per_demand)
