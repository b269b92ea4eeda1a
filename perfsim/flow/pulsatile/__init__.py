"""Pulsatile flow in compliant vessels: the one-dimensional equations, their grid, and periodic states."""

from perfsim.flow.pulsatile.arteries import Arteries, Inlets, Throats
from perfsim.flow.pulsatile.discretize import discretize, time_limit
from perfsim.flow.pulsatile.grid import Grid
from perfsim.flow.pulsatile.march import Cycle, march
from perfsim.flow.pulsatile.outlets import Absorbing, Coronary, Outlet, Resistance, Windkessel
from perfsim.flow.pulsatile.periodic import Periodicity, periodic_cycle, periodic_state
from perfsim.flow.pulsatile.scheme import Scheme, Values, Wave, drive_at, scheme, term
from perfsim.flow.pulsatile.solve import Progress, check_cycle, courant, solve_periodic, solve_transient
from perfsim.flow.pulsatile.start import at_rest, steady_start, vessel_resistance
from perfsim.flow.pulsatile.trunks import Trunks, trunks
from perfsim.flow.pulsatile.tube import Olufsen, SquareRoot, TubeLaw, olufsen_elasticity
from perfsim.flow.pulsatile.waveform import Fourier, Sampled, Stacked, Steadily, Waveform, read_waveform

__all__ = [
    "Absorbing",
    "Arteries",
    "Coronary",
    "Cycle",
    "Fourier",
    "Grid",
    "Inlets",
    "Olufsen",
    "Outlet",
    "Periodicity",
    "Progress",
    "Resistance",
    "Sampled",
    "Scheme",
    "SquareRoot",
    "Stacked",
    "Steadily",
    "Throats",
    "Trunks",
    "TubeLaw",
    "Values",
    "Wave",
    "Waveform",
    "Windkessel",
    "at_rest",
    "check_cycle",
    "courant",
    "discretize",
    "drive_at",
    "march",
    "olufsen_elasticity",
    "periodic_cycle",
    "periodic_state",
    "read_waveform",
    "scheme",
    "solve_periodic",
    "solve_transient",
    "steady_start",
    "term",
    "time_limit",
    "trunks",
    "vessel_resistance",
]
