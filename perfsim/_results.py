"""Why a solve ended, as data: compiled code returns a code, the host turns it into a sentence."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class RESULTS(IntEnum):
    """Outcome of a solve. Under transformations an outcome is an array of these integers."""

    successful = 0
    newton_not_converged = 1
    linear_not_converged = 2
    not_finite = 3
    not_periodic = 4
    wave_not_finite = 5
    fit_out_of_steps = 6
    fit_stalled = 7
    fit_not_finite = 8

    @property
    def message(self) -> str:
        """One sentence that names the cause and the remedy."""
        return _MESSAGES[self]


_MESSAGES = {
    RESULTS.successful: "The solve met its tolerance.",
    RESULTS.newton_not_converged: (
        "Newton's iteration did not reach the requested flow balance: check for a lesion that all but closes its "
        "vessel (throat below 5 % of the lumen), or raise `max_steps` or `tolerance` of the solver."
    ),
    RESULTS.linear_not_converged: (
        "The conjugate gradients inside Newton's iteration ran out of steps: raise `max_krylov`, or check the "
        "permeability field for values many decades apart."
    ),
    RESULTS.not_finite: (
        "A pressure is not finite: look for a zero radius, a zero vessel length or a NaN parameter "
        "(`perfsim.check_inputs(sim)` names the field)."
    ),
    RESULTS.not_periodic: (
        "The cycles did not settle: raise `max_cycles`, or look for an outlet whose time constant R·C is many periods."
    ),
    RESULTS.wave_not_finite: (
        "The pulsatile flow broke down: a lumen collapsed, the stream outran the waves, or the step is too long. Take "
        "a smaller `cfl` or `dx`; check the inflow's unit, and for a throat below 5 % of the lumen use `Throats`."
    ),
    RESULTS.fit_out_of_steps: (
        "The fit was still improving when its steps ran out: raise `max_steps`, or go on from its checkpoint."
    ),
    RESULTS.fit_stalled: (
        "No step improves the fit although its gradient is not zero: the simulation's `tolerance` may be too coarse "
        "for the accuracy asked for, or the data contradict the model; look at the residuals."
    ),
    RESULTS.fit_not_finite: (
        "The misfit of the starting values is not finite: check data and noise for zeros, and the simulation by "
        "`perfsim.check_inputs(sim)`."
    ),
}


class SimulationError(RuntimeError):
    """A simulation whose outcome is not `RESULTS.successful`."""


def meant(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """What to say of a name that is not known: the one that looks like it, or `otherwise`."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {close[0]!r}?" if close else otherwise


class InputError(ValueError):
    """Input that cannot be simulated: the message names the file or field, the item, the value and the remedy."""
