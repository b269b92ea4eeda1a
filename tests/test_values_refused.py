"""Numbers of a simulation and of measurements that make no sense are refused before anything is compiled."""

from perfsim import InputError, fit, simulate
from perfsim.coupling import check_values
from perfsim.inverse import problem
from perfsim.observe import Cuff, Noise, Scan, Wire
from perfsim.study import sensitivity

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import solution, tiny_heart


def changed(where, value):
    """The tiny heart with one of its arrays replaced."""
    return eqx.tree_at(where, tiny_heart(), value, is_leaf=lambda x: x is None)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (lambda s: s.tissue.tone, jnp.ones(5), r"tissue\.tone has the shape \[5\]: it must hold \d+ numbers"),
        (lambda s: s.tissue.tone, jnp.asarray(1.0), r"tissue\.tone has the shape \[\]"),
        (lambda s: s.tissue.terminal_tone, jnp.ones(2), r"terminal_tone has the shape \[2\]: it must hold 3"),
        (lambda s: s.tissue.transmural, jnp.ones(7), r"transmural has the shape \[7\]: it must hold 8"),
        (lambda s: s.lesions.throat, jnp.ones(3), r"lesions\.throat has the shape \[3\]: it must hold 2"),
        (lambda s: s.lesions.length, jnp.array([1e-3, 0.0]), r"lesions\.length is 0: it must be positive"),
        (lambda s: s.tissue.tone, jnp.array([1.0, -1.0]), r"tissue\.tone is -1: it must be positive"),
        (lambda s: s.tissue.density, jnp.asarray(0.0), r"tissue\.density is 0: it must be positive"),
        (lambda s: s.states[1].aortic_pressure, jnp.asarray(95.0), "state 'hyperemia': an aortic pressure of 95 Pa"),
        (lambda s: s.states[0].aortic_pressure, jnp.ones(3) * 1e4, "'rest': aortic_pressure has the shape"),
    ],
)  # fmt: skip
def test_values_of_a_simulation(where, value, words):
    with pytest.raises(InputError, match=words):
        simulate(changed(where, value))


def test_shapes_are_seen_in_compiled_code_too():
    wrong = changed(lambda s: s.tissue.terminal_tone, jnp.ones(2))
    with pytest.raises(InputError, match="terminal_tone"):
        jax.eval_shape(lambda s: simulate(s, throw=False), wrong)


def test_sizes_of_data_are_seen_in_compiled_code_too():
    sim = tiny_heart()

    def checked(value):
        Scan(("rest",), value, Noise(0.1, 0.05)).check(sim)
        return value

    jax.eval_shape(checked, jnp.ones((1, 8)))
    with pytest.raises(InputError, match="holds 9 values where its view"):
        jax.eval_shape(checked, jnp.ones((1, 9)))


def test_what_is_refused_is_what_makes_no_sense():
    """The least values that do, and NaN, which is the failure of a solve and has its own sentence."""
    check_values(tiny_heart())
    check_values(changed(lambda s: s.tissue.tone, jnp.full_like(tiny_heart().tissue.tone, 1e-6)))
    check_values(changed(lambda s: s.lesions.throat, jnp.array([1.0, np.nan])))
    check_values(changed(lambda s: s.states[0].aortic_pressure, jnp.asarray(1e3)))
    with pytest.raises(InputError, match="state 'rest': an aortic pressure of 999 Pa is none"):
        check_values(changed(lambda s: s.states[0].aortic_pressure, jnp.asarray(999.0)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sim": [1]}, "a Simulation is needed, not a list$"),
        ({"sim": type("Fit", (), {"sim": None})()}, "not a Fit: pass its `sim`"),
        ({"flow": "steady"}, r"flow is a str: give Steady"), ({"states": 3}, "states is 3: give the name"),
        ({"states": ("rest", 1)}, "give the name of a state"), ({"near": 1.0}, "near is a float: give what simulate"),
    ],
)  # fmt: skip
def test_kinds_of_arguments(given, words):
    arguments = {"sim": tiny_heart()} | given
    with pytest.raises(InputError, match=words):
        simulate(**arguments)


@pytest.mark.parametrize("vessel", [7, -1, 1.0, np.array([1, 2])])
def test_vessels_that_are_not_there(vessel):
    sim = tiny_heart()
    with pytest.raises(InputError, match=r"the network has the vessels 0 to 6"):
        problem(sim, [Wire(0.8, vessel)], ["tone"])
    with pytest.raises(InputError, match=r"the network has the vessels 0 to 6"):
        sensitivity(sim, vessel)


def test_data_without_a_number():
    """Infinity would be a misfit of infinity; a map of NaN says nothing. One number is enough."""
    sim, noise = tiny_heart(), Noise(0.1, 0.05)
    scan = lambda *value: Scan(("rest",), jnp.asarray(value)[None], noise)  # noqa: E731
    for value, words in (([np.inf] + 7 * [1.0], "a Scan holds an infinite value"), (8 * [np.nan], "holds no number")):
        with pytest.raises(InputError, match=words):
            fit(sim, [scan(*value)], ["tone"])
    with pytest.raises(InputError, match="a Cuff holds no number"):
        problem(sim, [Cuff(np.nan)], ["pressure"])
    posed, _ = problem(sim, [scan(*([1.0] + 7 * [np.nan]))], ["tone"])
    residual = posed.model.data[0].residual(sim, solution(sim, rest={"mbf": jnp.full(8, 1.15 / 6e4)}))
    assert np.count_nonzero(residual) <= 1 and np.isfinite(residual).all()


def test_deviations_of_zero():
    """A datum without an error would weigh infinitely; where nothing was measured its deviation does not matter."""
    value, deviation = np.array([[1.0] + 7 * [np.nan]]), np.zeros(8)
    with pytest.raises(InputError, match="a Scan has a datum with a standard deviation of 0"):
        problem(tiny_heart(), [Scan(("rest",), value, Noise(0.1, deviation))], ["tone"])
    deviation[0] = 0.05
    problem(tiny_heart(), [Scan(("rest",), value, Noise(0.1, deviation))], ["tone"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": np.inf}, "tolerance is inf: give"), ({"tolerance": 0.0}, "tolerance is 0: give"),
        ({"tolerance": np.nan}, "tolerance is nan"), ({"max_steps": 0}, "max_steps is 0: give"),
        ({"max_steps": 2.5}, "max_steps is 2.5"), ({"method": "newton"}, "there is no method 'newton'"),
    ],
)  # fmt: skip
def test_options_of_a_fit(options, words):
    with pytest.raises(InputError, match=words):
        fit(tiny_heart(), [Cuff(95.0)], ["pressure"], **options)
