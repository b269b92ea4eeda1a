"""Why a solve ended, as data: compiled code returns a code, the host turns it into a sentence."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class RESULTS(IntEnum):
    """Outcome of a solve. Under transformations an outcome is an array of these integers.

    Where several solves make one result the largest code counts: causes have larger codes than their symptoms.
    """

    successful = 0
    newton_not_converged = 1
    linear_not_converged = 2
    not_periodic = 3
    wave_not_finite = 4
    not_finite = 5
    vessel_too_narrow = 6
    not_drained = 7
    fit_out_of_steps = 20
    fit_stalled = 21
    fit_not_finite = 22
    fit_derivative_failed = 23
    fit_solve_failed = 24
    draws_failed = 30
    training_not_finite = 40
    growth_incomplete = 50

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
        "The linear solver ran out of steps before it met its tolerance: raise its limit (`max_krylov` of `Steady`, "
        "`max_steps` of `darcy.solve`), or check the permeability field for values many decades apart."
    ),
    RESULTS.not_periodic: (
        "The cycles did not settle: raise `max_cycles`, or look for an outlet whose time constant R·C is many periods."
    ),
    RESULTS.wave_not_finite: (
        "The pulsatile flow broke down: a lumen collapsed, the stream outran the waves, or the step is too long. Take "
        "a smaller `cfl` or `dx`; check the inflow's unit, and for a throat below 5 % of the lumen use `Throats`."
    ),
    RESULTS.not_finite: (
        "A pressure is not finite: look for a zero radius, a zero vessel length or a NaN parameter "
        "(`perfsim.check_inputs(sim)` names the field)."
    ),
    RESULTS.vessel_too_narrow: (
        "A vessel is narrower than 1 µm, less than a red cell passes: its flow cannot be told from rounding. Check the "
        "unit of radii and lesions, or remove the vessel."
    ),
    RESULTS.not_drained: (
        "Nothing drains the tissue (the sink is zero everywhere or negative somewhere), so no pressure balances the "
        "load: give the sink positive values."
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
    RESULTS.fit_derivative_failed: (
        "The derivative of the simulation could not be computed: raise `max_krylov` of the fit's solver (`flow=`), or "
        "start from less extreme values."
    ),
    RESULTS.fit_solve_failed: "The simulation at the fit's starting values failed, so there is nothing to fit from.",
    RESULTS.draws_failed: (
        "The simulation failed for every draw: the posterior reaches values that cannot be solved. Narrow the spread "
        "of the free parameters, or raise `max_steps` of the fit's solver."
    ),
    RESULTS.training_not_finite: (
        "The loss or its gradient is not finite: lower the rate, or check the samples for values that cannot be solved."
    ),
    RESULTS.growth_incomplete: (
        "More than 1 % of the terminals found no place in the domain: ask for fewer terminals, or check the domain for "
        "parts that no trunk reaches."
    ),
}


class SimulationError(RuntimeError):
    """A solve whose outcome is not `RESULTS.successful`.

    `partial` is what the solve reached; with `throw=False` the function that raised the error returns it instead.
    """

    def __init__(self, message: str, partial: object = None):
        super().__init__(message)
        self.partial = partial


def meant(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """Suggest the closest known name, or return `otherwise`."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {close[0]!r}?" if close else otherwise


class InputError(ValueError):
    """Input that cannot be simulated: the message names the file or field, the item, the value and the remedy."""
