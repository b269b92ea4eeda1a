"""`Arteries`: compliant vessels, where blood enters and leaves, and what narrows them, as one pytree of parameters."""

from perfsim._arrays import on_device
from perfsim._outcome import is_traced
from perfsim._results import InputError
from perfsim.blood import DENSITY
from perfsim.flow.pulsatile.arrays import indices, pairs, vector
from perfsim.flow.pulsatile.outlets import Outlet
from perfsim.flow.pulsatile.tube import SquareRoot, TubeLaw
from perfsim.flow.pulsatile.waveform import Waveform

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Inlets(eqx.Module):
    """Nodes where a waveform is prescribed."""

    node: Int[Array, " inlets"] = eqx.field(converter=indices)
    waveform: Waveform
    """inflow [m³/s] or pressure [Pa]"""


class Throats(eqx.Module):
    """Stenoses, each between two nodes: p_a - p_b = R Q + S Q|Q| + L dQ/dt.

    Q|Q| has a continuous derivative, and what is solved at a throat has the slope R + 2S|Q| plus the impedance of the
    vessels on either side, so that nothing needs to be rounded off at Q = 0.
    """

    node: Int[Array, "throats 2"] = eqx.field(converter=pairs)
    R: Float[Array, " throats"] = eqx.field(converter=vector)
    """[Pa·s/m³]"""
    S: Float[Array, " throats"] = eqx.field(converter=vector)
    """[Pa·s²/m⁶]"""
    L: Float[Array, " throats"] = eqx.field(converter=vector)
    """[Pa·s²/m³]"""

    @classmethod
    def none(cls) -> "Throats":
        """No stenosis."""
        return cls(jnp.zeros((0, 2), int), jnp.zeros(0), jnp.zeros(0), jnp.zeros(0))

    @classmethod
    def young_tsai(
        cls, node, radius, throat_radius, length, *, viscosity, density=DENSITY, K_v=None, K_t=1.52, K_u=1.2
    ):
        """The law of Young and Tsai (1973) for throats of radius r_s and length L_s in vessels of radius r_0 [m].

        R = K_v μ/(2π r_0³) = K_v μ/(A_0 D_0), S = K_t ρ/2 (1/A_s - 1/A_0)², L = K_u ρ L_s/A_0, with
        K_v = 32 (0.83 L_s + 1.64 D_s)/D_0 (A_0/A_s)² unless given.
        """
        radius, throat_radius, length = map(jnp.atleast_1d, (radius, throat_radius, length))
        A0, As = jnp.pi * radius**2, jnp.pi * throat_radius**2
        if K_v is None:
            K_v = 32.0 * (0.83 * length + 3.28 * throat_radius) / (2.0 * radius) * (A0 / As) ** 2
        R = K_v * viscosity / (A0 * 2.0 * radius)
        S = 0.5 * K_t * density * (1.0 / As - 1.0 / A0) ** 2
        return cls(node, R, S, K_u * density * length / A0)


class Arteries(eqx.Module):
    """Vessels of a network and all that their flow depends on; build one with `Arteries.build`."""

    length: Float[Array, " vessels"]
    """[m]"""
    radius: Float[Array, "vessels knots"]
    """lumen radius at the reference pressure, at knots evenly spaced along each vessel [m]"""
    elasticity: Float[Array, "vessels knots"]
    """E·h, Young's modulus by wall thickness [N/m]"""
    viscous: Float[Array, "vessels knots"] | None
    """Γ of a Kelvin-Voigt wall, P += Γ/(A_d √A) ∂A/∂t [N·s/m]; None is an elastic wall"""
    reference_pressure: Float[Array, " vessels"]
    """P_d, at which the radii are given [Pa]"""
    external_pressure: Float[Array, " vessels"]
    """P_ext [Pa]"""
    profile: Float[Array, ""] | Float[Array, " vessels"]
    """ζ of the velocity profile; friction is 2(ζ+2)πμ"""
    momentum_factor: Float[Array, ""] | Float[Array, " vessels"]
    """α of the convected momentum; (ζ+2)/(ζ+1) for the profile of that exponent"""
    viscosity: Float[Array, ""] | Float[Array, " vessels"]
    """μ [Pa·s]"""
    density: Float[Array, ""]
    """ρ [kg/m³]"""
    tail: Int[Array, " vessels"]
    head: Int[Array, " vessels"]
    total: Bool[Array, " nodes"]
    """the node's pressure, which its vessels share, is total (True) or static"""
    flow_inlets: Inlets | None
    pressure_inlets: Inlets | None
    outlets: tuple[Outlet, ...]
    throats: Throats
    period: Float[Array, ""]
    """[s]"""
    names: tuple[str, ...] = eqx.field(static=True)
    wall: type[TubeLaw] = eqx.field(static=True)

    @classmethod
    def build(
        cls,
        tail,
        head,
        length,
        radius,
        elasticity,
        *,
        period: float,
        flow_inlets: Inlets | None = None,
        pressure_inlets: Inlets | None = None,
        outlets: tuple[Outlet, ...],
        throats: Throats | None = None,
        viscous=None,
        reference_pressure=0.0,
        external_pressure=0.0,
        profile=2.0,
        momentum_factor=None,
        viscosity=4e-3,
        density: float = DENSITY,
        junctions: str = "total",
        names: tuple[str, ...] | None = None,
        wall: type[TubeLaw] = SquareRoot,
    ) -> "Arteries":
        """Check and broadcast the arguments, which are those of the class; numbers stand for all vessels.

        `radius` and `elasticity` are one number per vessel, or a row per vessel: two for a linear taper, more for a
        profile. `junctions` is "total" or "static": what is continuous where vessels meet; at inlets and outlets the
        static pressure is prescribed. Raises `InputError` naming vessel, value and remedy.
        """
        tail, head = np.atleast_1d(tail), np.atleast_1d(head)
        n = len(tail)
        names = tuple(f"vessel {i}" for i in range(n)) if names is None else tuple(names)
        _refuse_confusion(names, tail, head)
        per = {"length": length, "reference_pressure": reference_pressure, "external_pressure": external_pressure}
        per = {k: jnp.broadcast_to(_per_vessel(k, v, n), (n,)) for k, v in per.items()}
        profile = _per_vessel("profile", profile, n)
        knots = {"radius": radius, "elasticity": elasticity} | ({} if viscous is None else {"viscous": viscous})
        count = max(2, *(np.shape(v)[-1] if np.ndim(v) == 2 else 2 for v in knots.values()))
        knots = {k: _per_knot(k, v, n, count) for k, v in knots.items()}
        for key in ("length", "radius", "elasticity"):
            _positive(key, (per | knots)[key], names)
        if junctions not in ("total", "static"):
            raise InputError(f'junctions is {junctions!r}: it must be "total" or "static"')
        reached = [tail, head] if throats is None else [tail, head, np.asarray(throats.node).ravel()]
        nodes = int(np.concatenate(reached).max()) + 1
        degree = np.bincount(np.concatenate([tail, head]), minlength=nodes)
        _connected(nodes, degree, flow_inlets, pressure_inlets, outlets, throats)
        alpha = (profile + 2.0) / (profile + 1.0) if momentum_factor is None else momentum_factor
        return cls(
            **per, radius=knots["radius"], elasticity=knots["elasticity"], viscous=knots.get("viscous"),
            profile=profile, momentum_factor=_per_vessel("momentum_factor", alpha, n),
            viscosity=_per_vessel("viscosity", viscosity, n),
            density=jnp.asarray(density, float), tail=on_device(tail), head=on_device(head),
            total=on_device((degree > 1) & (junctions == "total")), flow_inlets=flow_inlets,
            pressure_inlets=pressure_inlets, outlets=tuple(outlets), names=names, wall=wall,
            throats=Throats.none() if throats is None else throats, period=jnp.asarray(period, float),
        )  # fmt: skip

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.total)

    def waves(self) -> tuple[Waveform | None, ...]:
        """All waveforms: inflow, inlet pressure, then each outlet group's intramyocardial pressure."""
        inlets = (None if x is None else x.waveform for x in (self.flow_inlets, self.pressure_inlets))
        return (*inlets, *(getattr(o, "P_im", None) for o in self.outlets))


def _refuse_confusion(names: tuple[str, ...], tail: np.ndarray, head: np.ndarray) -> None:
    """Raise `InputError` for two vessels of one name, and for one that ends where it starts."""
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise InputError(f"{names.count(twice)} vessels are called {twice!r}: names must differ")
    if (tail == head).any():
        v = int(np.argmax(tail == head))
        raise InputError(f"{names[v]} starts and ends at node {tail[v]}: give it two nodes")


def _per_vessel(key: str, value, n: int):
    value = jnp.asarray(value, float)
    if value.shape not in ((), (n,)):
        raise InputError(f"{key} has the shape {list(value.shape)}: give one number, or one for each of {n} vessels")
    return value


def _per_knot(key: str, value, n: int, count: int):
    value = jnp.asarray(value, float)
    if value.ndim < 2:
        return jnp.broadcast_to(jnp.broadcast_to(_per_vessel(key, value, n), (n,))[:, None], (n, count))
    if value.shape != (n, count):
        raise InputError(f"{key} has the shape {list(value.shape)}: give one row of {count} knots per vessel ({n})")
    return value


def _positive(key: str, value, names) -> None:
    if is_traced(value):  # what it stands for was checked when the case was built
        return
    host = np.asarray(value).reshape(len(names), -1)
    bad = ~(np.isfinite(host) & (host > 0)).all(axis=1)
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(f"{names[i]}: {key} is {host[i].min():.4g}; it must be positive and finite")


def _connected(nodes, degree, flow_inlets, pressure_inlets, outlets, throats) -> None:
    """Every end must be an inlet, an outlet or a throat, and every condition must sit on a node of the network."""
    inlets = [np.asarray(x.node) for x in (flow_inlets, pressure_inlets) if x is not None]
    ended = [np.asarray(o.node) for o in outlets]
    passed = [] if throats is None else [np.asarray(throats.node).ravel()]
    given = np.concatenate([*inlets, *ended, *passed, np.zeros(0, int)]).astype(int)
    if len(given) and (given.min() < 0 or given.max() >= nodes):
        raise InputError(f"a condition names node {given.max()}: the network has nodes 0 to {nodes - 1}")
    open_ends = np.setdiff1d(np.flatnonzero(degree == 1), given)
    if len(open_ends):
        raise InputError(f"node {open_ends[0]} is an open end: give it an inlet or an outlet")
    unused = np.setdiff1d(np.flatnonzero(degree == 0), given)
    if len(unused):
        raise InputError(f"no vessel touches node {unused[0]}: number the nodes without gaps")
    if not inlets:
        raise InputError("nothing enters the network: give flow_inlets or pressure_inlets")
    for kind, at in (("outlets", ended), ("throats", passed)):
        node, count = np.unique(np.concatenate([*at, np.zeros(0, int)]), return_counts=True)
        if (count > 1).any():
            raise InputError(f"node {int(node[count > 1][0])} has {int(count.max())} {kind}: one is allowed")
