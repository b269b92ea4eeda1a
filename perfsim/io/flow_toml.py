"""Cases of pulsatile flow in networks in TOML, checked before anything is computed."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from perfsim._extras import needed
from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.case import Length, Pressure, Section, ViscosityValue, quantity
from perfsim.io.faults import explained
from perfsim.io.flow_case import FlowCase, refuse_flow, refuse_period, refuse_pressure, refuse_twice

import numpy as np

with needed("io"):
    from pydantic import Field, ValidationError, model_validator

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Modulus = Annotated[float, quantity("pressure", 1, 1e6, "kPa")]
Density = Annotated[float, quantity("density", 0.5, 2, "g/mL")]
Radius = Annotated[float, quantity("length", 1e-2, 50, "mm")]
Thickness = Annotated[float, quantity("length", 1e-3, 20, "mm")]
Resistor = Annotated[float, Field(ge=1e4, le=1e17, allow_inf_nan=False)]
"""[Pa·s/m³]: what is outside is in another unit, such as mmHg·s/mL"""
Store = Annotated[float, Field(ge=1e-20, le=1e-5, allow_inf_nan=False)]
"""[m³/Pa]"""


class _Fluid(Section):
    """[flow]: blood, wall, time."""

    period: Positive
    dx: Length = 1e-3
    cfl: Annotated[float, Field(gt=0, le=1)] = 0.9
    samples: Annotated[int, Field(ge=2, le=100_000)] = 200
    tolerance: Positive = 1e-6
    max_cycles: Annotated[int, Field(ge=1)] = 60
    density: Density = 1060.0
    viscosity: ViscosityValue = 4e-3
    profile: Annotated[float, Field(ge=0)] = 2.0
    momentum_factor: Annotated[float, Field(ge=1)] | None = None
    junctions: Literal["total", "static"] = "total"
    reference_pressure: Pressure = 0.0


class _Vessel(Section):
    """[[vessel]]"""

    name: str
    start: str
    end: str
    length: Annotated[float, quantity("length", 0.1, 2e4, "mm")]
    radius: Radius | list[Radius]
    young: Modulus
    thickness: Thickness
    viscous: Annotated[float, Field(ge=0)] = 0.0

    def radii_at(self, node: str) -> list[float]:
        """The radius at each of its ends that is this node."""
        knots = self.radius if isinstance(self.radius, list) else [self.radius]
        return [r for end, r in ((self.start, knots[0]), (self.end, knots[-1])) if end == node]


class _Series(Section):
    """A Fourier series in a case file."""

    mean: Number
    amplitude: list[Number]
    phase: list[Number]

    @model_validator(mode="after")
    def _paired(self):
        if len(self.amplitude) != len(self.phase):
            raise ValueError(
                f"{len(self.amplitude)} amplitudes and {len(self.phase)} phases: give one of each per harmonic"
            )
        return self


class _Inlet(Section):
    """[[inlet]]: flow [m³/s] or pressure [Pa], each a file of two columns or a Fourier series."""

    node: str
    flow: Path | _Series | None = None
    pressure: Path | _Series | None = None

    @model_validator(mode="after")
    def _one(self):
        if (self.flow is None) == (self.pressure is None):
            raise ValueError("an inlet needs either flow or pressure")
        return self


class _Outlet(Section):
    """[[outlet]]: resistances [Pa·s/m³], compliances [m³/Pa]."""

    node: str
    kind: Literal["absorbing", "resistance", "windkessel", "coronary"]
    pressure: Pressure = 0.0
    R: Resistor | None = None
    R1: Resistor | None = None
    R2: Resistor | None = None
    C: Store | None = None
    R_a: Resistor | None = None
    R_am: Resistor | None = None
    R_v: Resistor | None = None
    C_a: Store | None = None
    C_im: Store | None = None
    P_im: Path | _Series | None = None

    @model_validator(mode="after")
    def _complete(self):
        needed = OUTLET_VALUES[self.kind]
        given = {k for k in OUTLET_VALUES["resistance"] + OUTLET_VALUES["windkessel"] + OUTLET_VALUES["coronary"]
                 if getattr(self, k) is not None}  # fmt: skip
        lacking, spare = [k for k in needed if k not in given], sorted(given - set(needed))
        if lacking:
            raise ValueError(f"a {self.kind} outlet needs {', '.join(lacking)}")
        if spare:
            raise ValueError(f"a {self.kind} outlet has no {', '.join(spare)}")
        return self


OUTLET_VALUES: dict[str, tuple[str, ...]] = {
    "absorbing": (),
    "resistance": ("R",),
    "windkessel": ("R1", "R2", "C"),
    "coronary": ("R_a", "R_am", "R_v", "C_a", "C_im", "P_im"),
}


class _Stenosis(Section):
    """[[stenosis]]: Young and Tsai's law between two nodes."""

    start: str
    end: str
    radius: Radius
    throat: Radius
    length: Length
    K_v: Positive | None = None
    K_t: Positive = 1.52
    K_u: Annotated[float, Field(ge=0)] = 1.2


class _Case(Section):
    flow: _Fluid
    vessel: list[_Vessel] = Field(min_length=1)
    inlet: list[_Inlet] = Field(min_length=1)
    outlet: list[_Outlet] = Field(default_factory=list)
    stenosis: list[_Stenosis] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_together(self):
        try:
            refuse_twice((v.name for v in self.vessel), "vessel")
            refuse_period(self.flow.period, "flow")
            for v in self.vessel:
                if v.start == v.end:
                    raise InputError(f"vessel {v.name!r} starts and ends at node {v.start!r}: give it two nodes")
            for s in self.stenosis:
                self._check_stenosis(s)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_stenosis(self, s: _Stenosis) -> None:
        """A stenosis joins two nodes of vessels, and is narrower than they are there."""
        where = f"stenosis from {s.start!r} to {s.end!r}"
        if s.start == s.end:
            raise InputError(f"{where}: starts and ends at one node: give it two")
        if s.throat >= s.radius:
            raise InputError(f"{where}: the throat, {s.throat:g} m, is not narrower than the vessel, {s.radius:g} m")
        for node in (s.start, s.end):
            radii = [r for v in self.vessel for r in v.radii_at(node)]
            if not radii:
                names = ", ".join(dict.fromkeys(n for v in self.vessel for n in (v.start, v.end)))
                raise InputError(f"{where}: no vessel starts or ends at {node!r}; the vessels' nodes are {names}")
            if s.throat >= max(radii):
                raise InputError(
                    f"{where}: the throat, {s.throat:g} m, is wider than the vessel at {node!r}, {max(radii):g} m"
                )


def read_flow_toml(path: Path) -> FlowCase:
    """Read a case; see `docs/pulsatile.md` for its keys. Raises `InputError` as `read_flow` does."""
    case = checked_toml(path)
    try:
        return _built(case, path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def checked_toml(path: Path) -> _Case:
    """The file, its keys and values checked. Raises `InputError`, one line per fault."""
    try:
        return _Case.model_validate(tomllib.loads(read_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML ({error})") from None
    except ValidationError as error:
        raise InputError("\n".join(f"{path}: {line}" for line in explained(error, _Case))) from None


def is_flow_toml(path: Path) -> bool:
    """Whether a TOML file speaks of vessels of a network, not of a heart."""
    try:
        return "vessel" in tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, InputError):
        return False


def _built(case: _Case, path: Path) -> FlowCase:
    from perfsim.flow.pulsatile import Arteries

    f = case.flow
    ends = [(v.start, v.end) for v in case.vessel] + [(s.start, s.end) for s in case.stenosis]
    nodes = list(dict.fromkeys(node for pair in ends for node in pair))
    names = [v.name for v in case.vessel]

    def at(node: str) -> int:
        if node not in nodes:
            raise InputError(f"node {node!r} is no vessel's start or end: the network has {', '.join(nodes)}")
        return nodes.index(node)

    viscous = np.array([v.viscous for v in case.vessel])
    arteries = Arteries.build(
        [at(v.start) for v in case.vessel], [at(v.end) for v in case.vessel],
        np.array([v.length for v in case.vessel]),
        _radii(case.vessel), np.array([v.young * v.thickness for v in case.vessel]), period=f.period,
        names=names, throats=_throats(case, at), flow_inlets=_inlets(case, path, at, "flow"),
        pressure_inlets=_inlets(case, path, at, "pressure"),
        outlets=_outlets(case, path, at), viscous=viscous if viscous.any() else None, viscosity=f.viscosity,
        reference_pressure=f.reference_pressure, profile=f.profile, momentum_factor=f.momentum_factor,
        density=f.density, junctions=f.junctions,
    )  # fmt: skip
    settings = {k: getattr(f, k) for k in ("dx", "cfl", "samples", "tolerance", "max_cycles")}
    return FlowCase(path.stem, arteries, tuple(nodes), **settings)


def _radii(vessels: list[_Vessel]) -> np.ndarray:
    """A row of knots per vessel, as many as the longest profile has."""
    rows = [v.radius if isinstance(v.radius, list) else [v.radius] for v in vessels]
    knots = np.linspace(0.0, 1.0, max(2, *(len(row) for row in rows)))
    return np.array([np.interp(knots, np.linspace(0.0, 1.0, len(row)), row) for row in rows])


def _throats(case: _Case, at):
    from perfsim.flow.pulsatile import Throats

    if not case.stenosis:
        return None
    columns = {k: [getattr(s, k) for s in case.stenosis] for k in ("radius", "throat", "length", "K_v", "K_t", "K_u")}
    if None in columns["K_v"]:
        if any(K is not None for K in columns["K_v"]):
            raise InputError("stenosis: give K_v for all of them or for none")
        del columns["K_v"]
    radius, throat, length = (np.array(columns.pop(k)) for k in ("radius", "throat", "length"))
    nodes = [[at(s.start), at(s.end)] for s in case.stenosis]
    factors = {k: np.array(v) for k, v in columns.items()}
    return Throats.young_tsai(
        nodes, radius, throat, length, viscosity=case.flow.viscosity, density=case.flow.density, **factors
    )


def _wave(given, path: Path, period: float, refuse):
    """A waveform whose greatest value `refuse` finds possible."""
    from perfsim.flow.pulsatile import Fourier, read_waveform

    if isinstance(given, _Series):
        refuse(abs(given.mean) + sum(map(abs, given.amplitude)), "a Fourier series")
        return Fourier(given.mean, [given.amplitude], [given.phase], period)
    wave = read_waveform(path.parent / given)
    refuse(float(np.abs(wave.values).max()), str(given))
    span = float(wave.times[-1] - wave.times[0])
    if abs(span - period) > 1e-6 * period:
        raise InputError(
            f"{given} spans {span:.6g} s, the period is {period:.6g} s: give one whole period, its end included"
        )
    return wave


def _inlets(case: _Case, path: Path, at, kind: str):
    from perfsim.flow.pulsatile import Inlets, Stacked

    given = [i for i in case.inlet if getattr(i, kind) is not None]
    if not given:
        return None
    refuse = refuse_flow if kind == "flow" else refuse_pressure
    waves = tuple(_wave(getattr(i, kind), path, case.flow.period, refuse) for i in given)
    refuse_twice((i.node for i in given), f"inlet of {kind} at node")
    return Inlets([at(i.node) for i in given], Stacked(waves))


def _outlets(case: _Case, path: Path, at):
    from perfsim.flow.pulsatile import Absorbing, Coronary, Resistance, Stacked, Windkessel

    groups = []
    kinds = {"absorbing": Absorbing, "resistance": Resistance, "windkessel": Windkessel, "coronary": Coronary}
    for kind, build in kinds.items():
        own = [o for o in case.outlet if o.kind == kind]
        if not own:
            continue
        values = [[getattr(o, k) for o in own] for k in OUTLET_VALUES[kind] if k != "P_im"]
        last = [[o.pressure for o in own]]
        if kind == "coronary":
            last.append(Stacked(tuple(_wave(o.P_im, path, case.flow.period, refuse_pressure) for o in own)))
        groups.append(build([at(o.node) for o in own], *values, *last))
    return tuple(groups)
