"""`Simulation`: everything that `simulate` needs, as one pytree whose floating-point leaves are the parameters."""

from typing import TYPE_CHECKING

from perfsim import physiology
from perfsim._arrays import on_device
from perfsim._outcome import is_traced
from perfsim._results import InputError
from perfsim.anatomy import MYOCARDIUM
from perfsim.blood import PriesInVivo, Viscosity
from perfsim.coupling.crown import supply_from
from perfsim.coupling.territories import Couplings, nearest_terminals, territory_of_terminals, volumes_fed
from perfsim.coupling.transmural import transmural_profile
from perfsim.darcy import ControlVolumes, Samples
from perfsim.flow import Bridges, JetExpansion, LumpedOutlets, StenosisLaw, no_bridges, no_outlets
from perfsim.network import Forest, Lesions, VesselNetwork, branch_table, contract, no_lesions, vessel_into
from perfsim.precision import require_float64

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

if TYPE_CHECKING:
    from perfsim.coupling.compartments import Compartments

LEAST_PRESSURE = 1e3
"""aortic pressure [Pa] below which a number is in another unit"""


class State(eqx.Module):
    """A physiological state."""

    name: str = eqx.field(static=True)
    aortic_pressure: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    """mean, at every inlet [Pa]"""
    back_pressure_epi: Float[Array, ""] | Float[Array, " volumes"] = eqx.field(converter=jnp.asarray)
    """back pressure at the epicardium [Pa]: one number, or one per volume"""
    back_pressure_endo: Float[Array, ""] | Float[Array, " volumes"] = eqx.field(converter=jnp.asarray)
    """back pressure at the endocardium [Pa], likewise; linear in the transmural depth between"""
    demand: Float[Array, ""] | None = eqx.field(converter=lambda x: None if x is None else jnp.asarray(x))
    """flow that autoregulation maintains while it can [m³/(s·kg)], or None at maximal dilation"""

    def __check_init__(self):
        if self.demand is not None and not is_traced(self.demand) and not bool(jnp.all(self.demand > 0)):
            raise InputError(
                f"state {self.name!r}: a demand of {float(self.demand):g} m³/(s·kg) cannot be maintained: give a "
                "positive flow, or None at maximal dilation"
            )

    @property
    def inverse_demand(self) -> Float[Array, ""]:
        """1/demand [s·kg/m³], 0 at maximal dilation."""
        return jnp.zeros_like(self.aortic_pressure) if self.demand is None else 1.0 / self.demand

    def unnamed(self) -> "State":
        """The same state as numbers alone: without its name, and with an infinite demand at maximal dilation."""
        demand = jnp.full_like(self.aortic_pressure, jnp.inf) if self.demand is None else self.demand
        return State("", self.aortic_pressure, self.back_pressure_epi, self.back_pressure_endo, demand)

    def by_volume(self, volumes: int) -> "State":
        """The same state with back pressures by volume, so that states can be stacked."""
        epi, endo = (jnp.broadcast_to(x, (volumes,)) for x in (self.back_pressure_epi, self.back_pressure_endo))
        return State(self.name, self.aortic_pressure, epi, endo, self.demand)

    def back_pressure(self, depth: Float[Array, "*volumes"] | float) -> Float[Array, "*volumes"]:
        """p_b [Pa] at the transmural depths: 0 is the epicardium, 1 the endocardium."""
        return self.back_pressure_epi + (self.back_pressure_endo - self.back_pressure_epi) * depth


class Tissue(eqx.Module):
    """Conductances of the myocardium."""

    supply: Float[Array, ""] | Float[Array, " volumes"] = eqx.field(converter=jnp.asarray)
    """g_a, from D_ref to the capillaries, at maximal dilation [1/(Pa·s)]: one number, or one per volume"""
    drainage: Float[Array, ""] | Float[Array, " volumes"] = eqx.field(converter=jnp.asarray)
    """g_v, from the capillaries to the veins [1/(Pa·s)]: one number, or one per volume"""
    mobility: Float[Array, ""] | Float[Array, " volumes"] | Float[Array, "volumes 3 3"] = eqx.field(
        converter=jnp.asarray
    )
    """K [m²/(Pa·s)]: one number, one per volume, or a tensor per volume (see `darcy.fibers`)"""
    transmural: Float[Array, " volumes"]
    """factor on g_a and g_v by depth, see `transmural_profile`"""
    tone: Float[Array, " territories"]
    """factor on g_a of the terminals of each territory; 1 is healthy"""
    terminal_tone: Float[Array, " terminals"]
    """a further factor of each terminal by itself"""
    territory: Int[Array, " terminals"]
    territory_names: tuple[str, ...] = eqx.field(static=True)
    density: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=MYOCARDIUM)
    """[kg/m³]"""
    compartments: "Compartments | None" = None
    """None: one; see `three_compartments`"""


class Simulation(eqx.Module):
    """A coronary network, with or without a wall, in one or more states: see `assemble` and `network_only`."""

    network: VesselNetwork
    forest: Forest
    table: Int[Array, "steps branches"]
    lesions: Lesions
    viscosity: Viscosity
    loss: StenosisLaw
    outlets: LumpedOutlets
    """used without a wall; with one, outlets carry the wall's conductances (see `system`)"""
    bridges: Bridges
    """grafts and collaterals: see `bridge`"""
    volumes: ControlVolumes | None
    couplings: Couplings | None
    tissue: Tissue | None
    states: tuple[State, ...]
    crown_length: Float[Array, ""]
    """c of the ungrown crown"""
    reference_diameter: Float[Array, ""]
    """D_ref [m]"""
    profile: Float[Array, ""]
    """ζ of the velocity profile: friction 2(ζ+2)πμ, momentum factor α = (ζ+2)/(ζ+1); 2 is Poiseuille"""
    terminal_vessel: Int[Array, " terminals"]
    """vessel that ends in each terminal"""
    outlet_vessel: Int[Array, " outlets"]

    def by_territory(self, values: Float[Array, " territories"]) -> Float[Array, " volumes"]:
        """Values of the territories, in the order of `tissue.territory_names`, as a field: each volume has the mean of
        its feeders, weighted by what they feed.
        """
        return self.by_terminal(jnp.asarray(values)[self.parts()[2].territory])

    def by_terminal(self, values: Float[Array, " terminals"]) -> Float[Array, " volumes"]:
        """Values of the terminals as a field, likewise."""
        volumes, links, _ = self.parts()
        return links.to_volumes(links.weight, values) / volumes.volume

    def solved_on(self) -> tuple[ControlVolumes, Couplings]:
        """What the equations are solved on: the volumes and couplings, or those of all compartments."""
        volumes, links, tissue = self.parts()
        many = tissue.compartments
        return (volumes, links) if many is None else (many.volumes, many.couplings)

    def parts(self) -> tuple[ControlVolumes, Couplings, Tissue]:
        """Volumes, couplings and tissue. Raises `InputError` for a network without a wall."""
        if self.volumes is None or self.couplings is None or self.tissue is None:
            raise InputError("this simulation is a network without a wall: it has no MBF; build one with `assemble`")
        return self.volumes, self.couplings, self.tissue


def assemble(
    network: VesselNetwork,
    volumes: ControlVolumes,
    samples: Samples,
    *,
    states: tuple[State, ...] | None = None,
    lesions: Lesions | None = None,
    viscosity: Viscosity | None = None,
    loss: StenosisLaw | None = None,
    supply: float = physiology.SUPPLY,
    reference_diameter: float = physiology.REFERENCE_DIAMETER,
) -> Simulation:
    """Couple a grown network to the control volumes of its wall, with the calibrated healthy tissue.

    Design flows of the terminals are set to the tissue each feeds. `supply` is g_a of a tissue that starts at 100 µm;
    where `reference_diameter` D_ref [m] is less, it is rescaled by the crown in between. Raises `InputError` for a
    network without terminals, or a D_ref that leaves no tissue.
    """
    if len(network.terminals) == 0:
        raise InputError("the network has no terminals to feed the wall: grow it first (perfsim.grow)")
    links = nearest_terminals(network, volumes, samples)
    # a terminal that is nearest to no sample still needs a positive flow for its radius
    fed = np.maximum(volumes_fed(links), 1e-3 * float(jnp.sum(volumes.volume)) / len(network.terminals))
    network = eqx.tree_at(lambda n: n.demand, network, on_device(fed))
    territory, names = territory_of_terminals(network)
    tissue = Tissue(
        supply=_supply_at(network, viscosity or PriesInVivo(), supply, reference_diameter),
        drainage=physiology.DRAINAGE,
        mobility=physiology.MOBILITY,
        transmural=transmural_profile(volumes),
        tone=jnp.ones(len(names)),
        terminal_tone=jnp.ones(len(network.terminals)),
        territory=on_device(territory),
        territory_names=names,
    )
    return _simulation(
        network, states or default_states(), lesions, viscosity, loss, no_outlets(), volumes, links, tissue,
        reference_diameter=reference_diameter,
    )  # fmt: skip


def _supply_at(network: VesselNetwork, viscosity: Viscosity, supply: float, reference: float) -> float:
    """g_a of a tissue that starts at D_ref (see `crown.supply_from`); a 100 µm vessel feeds what the law says."""
    if reference == physiology.REFERENCE_DIAMETER:
        return supply
    exponent = float(network.exponent)
    fed = np.asarray(network.design_flow()[1])
    vessels = (2.0 * np.asarray(network.root_radius) / physiology.REFERENCE_DIAMETER) ** exponent
    volume = float(np.average(fed / vessels, weights=fed))
    return supply_from(reference, supply, volume, viscosity, exponent, physiology.CROWN_LENGTH)


def network_only(
    network: VesselNetwork,
    outlets: LumpedOutlets,
    *,
    aortic_pressure: float,
    lesions: Lesions | None = None,
    viscosity: Viscosity | None = None,
    loss: StenosisLaw | None = None,
    profile: float = 2.0,
) -> Simulation:
    """A network without a wall: every end drains through a lumped outlet.

    Arguments: `aortic_pressure` [Pa], `profile` the exponent ζ of the velocity profile.
    """
    if len(network.outlets) == 0:
        raise InputError("a network without a wall needs lumped outlets at its ends")
    states = (State("hyperemia", aortic_pressure, 0.0, 0.0, None),)
    return _simulation(network, states, lesions, viscosity, loss, outlets, None, None, None, profile)


def bridge(sim: Simulation, start: int, end: int, resistance: float) -> Simulation:
    """Join two nodes of the network by a graft or a collateral of this `resistance` [Pa·s/m³].

    Raises `InputError` for nodes that are not there, one and the same, or a resistance that is not positive.
    """
    nodes = len(sim.network.position)
    if not (0 <= start < nodes and 0 <= end < nodes and start != end):
        raise InputError(f"nodes {start} and {end} cannot be joined: name two of the {nodes} nodes of the network")
    if not 0.0 < resistance < np.inf:
        raise InputError(f"a bridge of {resistance:.4g} Pa·s/m³ has no positive, finite resistance")
    old = sim.bridges
    both = Bridges(jnp.concatenate([old.nodes, jnp.array([[start, end]])]), jnp.append(old.resistance, resistance))
    forest = contract(sim.network, keep=np.asarray(both.nodes).ravel())
    return eqx.tree_at(lambda s: (s.bridges, s.forest), sim, (both, forest))


def check_inputs(sim: Simulation) -> Simulation:
    """Return the simulation if all its numbers are finite, else raise `InputError` naming the field (host only)."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(sim):
        if eqx.is_inexact_array(leaf) and not bool(jnp.all(jnp.isfinite(leaf))):
            bad = np.argwhere(~np.isfinite(np.atleast_1d(np.asarray(leaf))))[0]
            field = jax.tree_util.keystr(path).lstrip(".")
            raise InputError(
                f"{field} is not finite at index {bad.tolist()} of shape {list(leaf.shape)}: give it a number"
            )
    return sim


def check_values(sim: Simulation) -> None:
    """Raise `InputError` for what is no simulation, and for values of one that make no sense.

    These are arrays that do not fit the network or the wall and, outside of `jit`, pressures in another unit,
    tissue without weight, tone that is not positive and stenoses without length.
    """
    if not isinstance(sim, Simulation):
        hint = ": pass its `sim`" if hasattr(sim, "sim") else ""
        raise InputError(f"a Simulation is needed, not a {type(sim).__name__}{hint}")
    lesions, tissue = sim.lesions, sim.tissue
    sizes = {f"lesions.{n}": (getattr(lesions, n), len(lesions.branch)) for n in ("center", "length", "throat")}
    positive = {"lesions.length": lesions.length}
    if tissue is not None and sim.volumes is not None:
        sizes |= {
            "tissue.tone": (tissue.tone, len(tissue.territory_names)),
            "tissue.terminal_tone": (tissue.terminal_tone, len(sim.network.terminals)),
            "tissue.transmural": (tissue.transmural, len(sim.volumes.volume)),
        }
        positive |= {"tissue.tone": tissue.tone, "tissue.density": tissue.density}
    for name, (value, count) in sizes.items():
        if np.shape(value) != (count,):
            raise InputError(f"{name} has the shape {list(np.shape(value))}: it must hold {count} numbers")
    for state in sim.states:
        if np.shape(state.aortic_pressure) != ():
            shape = list(np.shape(state.aortic_pressure))
            raise InputError(f"state {state.name!r}: aortic_pressure has the shape {shape}: it must be one number [Pa]")
    if is_traced((positive, sim.states)):
        return
    for name, value in positive.items():
        least = np.min(np.asarray(value), initial=np.inf)  # a jax array's own minimum would be traced under `jit`
        if least <= 0.0:  # NaN is a solve's own failure
            raise InputError(f"{name} is {least:.4g}: it must be positive")
    for state in sim.states:
        pressure = np.asarray(state.aortic_pressure)
        if pressure < LEAST_PRESSURE:
            raise InputError(
                f"state {state.name!r}: an aortic pressure of {pressure:.4g} Pa is none: give it in Pa "
                "(1 mmHg is 133.3 Pa)"
            )


def default_states() -> tuple[State, ...]:
    """Rest and hyperemia of the healthy heart (see `physiology`)."""
    p = physiology
    return (
        State("rest", p.AORTIC_REST, p.BACK_EPI, p.BACK_ENDO, jnp.asarray(p.DEMAND)),
        State("hyperemia", p.AORTIC_HYPEREMIA, p.BACK_EPI, p.BACK_ENDO, None),
    )


def _simulation(
    network,
    states,
    lesions,
    viscosity,
    loss,
    outlets,
    volumes,
    links,
    tissue,
    profile=2.0,
    reference_diameter=physiology.REFERENCE_DIAMETER,
) -> Simulation:
    require_float64()
    vessel_to = vessel_into(network)
    return Simulation(
        network=network,
        forest=contract(network),
        table=branch_table(network),
        lesions=no_lesions() if lesions is None else lesions,
        viscosity=PriesInVivo() if viscosity is None else viscosity,
        loss=JetExpansion() if loss is None else loss,
        outlets=outlets,
        bridges=no_bridges(),
        volumes=volumes,
        couplings=links,
        tissue=tissue,
        states=tuple(states),
        profile=jnp.asarray(profile),
        crown_length=jnp.asarray(physiology.CROWN_LENGTH),
        reference_diameter=jnp.asarray(reference_diameter),
        terminal_vessel=on_device(vessel_to[np.asarray(network.terminals, int)]),
        outlet_vessel=on_device(vessel_to[np.asarray(network.outlets, int)]),
    )
