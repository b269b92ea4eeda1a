"""Gradient descent over patients: mini-batches, one update each, from the host; it resumes to the same bits."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from perfsim._fingerprint import fingerprint
from perfsim._results import RESULTS, InputError, SimulationError
from perfsim.learn import files

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

_log = logging.getLogger(__name__)
Model, Sample = TypeVar("Model", bound=eqx.Module), TypeVar("Sample")
Loss = Callable[[Model, Sample], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained: Adam, its rate falling along a cosine to nothing, gradients clipped to length 1."""

    steps: int = 400
    batch: int = 4
    """patients per step"""
    rate: float = 5e-3
    seed: int = 0
    """of which patients make up each step"""

    @property
    def rule(self) -> optax.GradientTransformation:
        falling = optax.cosine_decay_schedule(self.rate, self.steps)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(falling))

    def drawn(self, step: int, samples: int) -> np.ndarray:
        """The patients of a step: every one as often as any other, in an order that only `seed` decides."""
        at = np.arange(step * self.batch, (step + 1) * self.batch)
        orders = [np.random.default_rng([self.seed, round_]).permutation(samples) for round_ in at // samples]
        return np.array([order[k % samples] for order, k in zip(orders, at, strict=True)])


def train(
    model: Model,
    loss: Loss,
    samples: Sequence[Sample],
    how: Training,
    *,
    progress: Callable[[int, float], None] | None = None,
    checkpoint: Path | None = None,
    every: int = 25,
) -> tuple[Model, list[float]]:
    """(the trained model, mean loss of each step).

    Arguments: `loss(model, sample)`, differentiable; `samples`, pytrees whose arrays best share few shapes
    (`coupling.pad`), for each shape is compiled once; `progress(step, loss)`; `checkpoint` a file that is written
    `every` so many steps and from which an interrupted training goes on to the same bits. Raises `InputError` for a
    checkpoint of another training, and `SimulationError` for a loss or a gradient that is not finite: no update is made
    from it, and the error's `partial` holds the model and the losses before it.
    """
    state = how.rule.init(eqx.filter(model, eqx.is_inexact_array))
    history: list[float] = []
    mark = dataclasses.asdict(how) | {"samples": len(samples)}
    if checkpoint is not None:
        mark |= {"patients": fingerprint(list(samples)), "network": fingerprint(model)}
    if checkpoint is not None and checkpoint.exists():
        (model, state), history = _resumed(checkpoint, (model, state), mark)
    for step in range(len(history), how.steps):
        values, total = [], None
        for k in how.drawn(step, len(samples)):
            value, slope = _slope(loss, model, samples[k])
            total = slope if total is None else jax.tree.map(jnp.add, total, slope)
            values.append(float(value))
        history.append(float(np.mean(values)))
        sound = np.isfinite(history[-1]) and all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(total))
        if not sound:
            said = f"the loss is {history[-1]:g} at step {step + 1}, the rate {how.rate:g}"
            raise SimulationError(f"{RESULTS.training_not_finite.message} ({said})", (model, history[:-1]))
        model, state = _updated(how, model, total, state)
        if progress is not None:
            progress(step + 1, history[-1])
        if checkpoint is not None and ((step + 1) % every == 0 or step + 1 == how.steps):
            _write(checkpoint, mark | {"history": history}, files.to_bytes((model, state)))
    return model, history


@eqx.filter_jit
def _slope(loss: Loss, model: Model, sample: Sample):
    return eqx.filter_value_and_grad(loss)(model, sample)


@eqx.filter_jit
def _updated(how: Training, model: Model, total, state):
    mean = jax.tree.map(lambda x: x / how.batch, total)
    update, state = how.rule.update(mean, state)
    return eqx.apply_updates(model, update), state


def _write(path: Path, header: dict, arrays: bytes) -> None:
    """Write a checkpoint. A disk that is full ends no training: the log says so."""
    try:
        files.write(path, header | {"sha256": hashlib.sha256(arrays).hexdigest()}, arrays)
    except OSError as error:
        _log.warning("%s: the checkpoint could not be written (%s); the training goes on", path, error.strerror)


def _resumed(path: Path, like, mark: dict):
    """((model, state), history) of a checkpoint. Raises `InputError` for one of something else."""
    try:
        said, arrays = files.read(path)
        history, checksum = said.pop("history"), said.pop("sha256")
        if hashlib.sha256(arrays).hexdigest() != checksum:
            raise ValueError("it is cut or damaged: its checksum differs")
        tree = files.from_bytes(arrays, like) if said == mark else None
    except (ValueError, KeyError, RuntimeError, EOFError) as error:
        raise InputError(f"{path}: not a checkpoint of this model ({error}): remove it to start anew") from None
    if tree is None:
        differs = ", ".join(f"{k} {said.get(k)}, not {v}" for k, v in mark.items() if said.get(k) != v)
        raise InputError(f"{path}: this checkpoint is of another training ({differs}): remove it to start anew")
    return tree, history
