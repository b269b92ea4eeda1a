"""Training that resumes to the same bits, models as files, the command line."""

import json

from perfsim import RESULTS, InputError, SimulationError
from perfsim.learn import Closures, PressureNetwork, ToneNetwork, Training, described, load, save, train

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import perfsim


def loss(model, sample):
    x, y = sample
    return jnp.mean((jax.vmap(model.mlp)(x)[:, 0] - y) ** 2)


@pytest.fixture(scope="module")
def samples():
    """Two sizes, as of different patients."""
    rng = np.random.default_rng(0)
    return [(jnp.asarray(x), jnp.asarray(np.sin(x[:, 0]))) for x in (rng.normal(size=(n, 4)) for n in (20, 20, 30))]


@pytest.fixture
def model():
    return ToneNetwork.of(jax.random.key(0), width=8, rounds=1)


def same(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves if eqx.is_array(x))


def test_every_patient_counts_as_often_as_any_other():
    how = Training(steps=21, batch=2)
    drawn = np.concatenate([how.drawn(k, 7) for k in range(how.steps)])
    assert np.all(np.bincount(drawn) == 6)
    assert sorted(drawn[:7]) == list(range(7)) and list(drawn[:7]) != list(drawn[7:14])


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, samples, model):
    how, path = Training(40, 2, 1e-2), tmp_path / "checkpoint"
    whole, history = train(model, loss, samples, how)
    assert history[-1] < 0.5 * history[0]

    def stop(step, _):
        if step == 23:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, loss, samples, how, progress=stop, checkpoint=path, every=5)
    seen = []
    resumed, again = train(model, loss, samples, how, progress=lambda k, _: seen.append(k), checkpoint=path, every=5)
    assert seen[0] == 21 and again == history and same(whole, resumed)
    with pytest.raises(InputError, match=r"another training \(steps 40, not 50\)"):
        train(model, loss, samples, Training(50, 2, 1e-2), checkpoint=path)
    others = jax.tree.map(lambda x: 1.01 * x, samples)
    with pytest.raises(InputError, match=r"another training \(patients \w+, not \w+\)"):
        train(model, loss, others, how, checkpoint=path)
    with pytest.raises(InputError, match=r"another training \(network \w+, not \w+\)"):
        train(ToneNetwork.of(jax.random.key(1), width=8, rounds=1), loss, samples, how, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a checkpoint of this model"):
        train(model, loss, samples, how, checkpoint=path)


def test_a_loss_that_is_not_finite_ends_the_training(samples, model):
    with pytest.raises(SimulationError, match=r"lower the rate.*the loss is nan at step 1") as error:
        train(model, lambda m, s: jnp.nan * loss(m, s), samples, Training(5))
    assert RESULTS.training_not_finite.message in str(error.value)
    kept, history = error.value.partial
    assert same(kept, model) and history == []


@pytest.mark.parametrize(
    "made",
    [
        lambda: Closures.of(jax.random.key(1), features=2, width=8, rounds=1),
        lambda: PressureNetwork.of(jax.random.key(1), width=8, rounds=1),
        lambda: ToneNetwork.of(jax.random.key(1), width=8),
    ],
)
def test_a_model_comes_back_as_it_was(tmp_path, made):
    model, path = made(), tmp_path / "model.perfsim"
    save(path, model, {"task": "test"})
    assert same(load(path), model) and load(path).size == model.size
    assert described(path)["about"] == {"task": "test"}


def test_a_file_that_is_no_such_model_is_refused(tmp_path, model):
    path = tmp_path / "model.perfsim"
    with pytest.raises(InputError, match="no such file"):
        load(path)
    save(path, model)
    header, _, arrays = path.read_bytes().partition(b"\n")
    fields = json.loads(header)

    def written(arrays=arrays, **changed):
        path.write_bytes(json.dumps(fields | changed).encode() + b"\n" + arrays)
        return path

    for damaged, said in (
        (lambda: written(arrays[:-8]), "checksum"),
        (lambda: written(arrays[:-1] + bytes([arrays[-1] ^ 1])), "checksum"),
        (lambda: written(format=99), "format 99, written by perfsim"),
        (lambda: written(kind="ToneNetwrk"), "did you mean 'ToneNetwork'"),
        (lambda: written(size={"width": 9, "rounds": 1}), "do not fit a ToneNetwork of size"),
        (lambda: written(size={"breadth": 9}), "do not fit"),
    ):
        with pytest.raises(InputError, match=said):
            load(damaged())
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InputError, match="not a model of perfsim"):
        load(path)


def test_a_network_is_trained_and_evaluated_from_the_command_line(tmp_path):
    case = '[learn]\ntask = "pressure"\npatients = 1\nheld_out = 1\nvolumes = 600\nsteps = 12\nbatch = 1\nwidth = 8\n'
    (tmp_path / "case.toml").write_text(case)
    done = perfsim("learn", "train", "case.toml", "--out", "net", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "net").iterdir()} == {"model.perfsim", "learn.json", "learn.png"}
    record = json.loads((tmp_path / "net" / "learn.json").read_text())
    assert len(record["history"]) == 12 and record["history"][-1] < record["history"][0]
    tested = perfsim("learn", "evaluate", "case.toml", "net/model.perfsim", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert f"{100 * np.mean(record['held_out']['trained']['error']):.2f} %" in tested.stdout
    again = perfsim("learn", "train", "case.toml", "--out", "net", cwd=tmp_path)
    assert again.returncode == 3 and "holds the results of an earlier run" in again.stderr
    (tmp_path / "tone.toml").write_text('[learn]\ntask = "tone"\nvolumes = 600\n')
    wrong = perfsim("learn", "evaluate", "tone.toml", "net/model.perfsim", cwd=tmp_path)
    assert wrong.returncode == 3 and "a PressureNetwork, but learn.task = 'tone' needs a ToneNetwork" in wrong.stderr
    (tmp_path / "bad.toml").write_text('[learn]\ntask = "subgird"\nstep = 4\n')
    bad = perfsim("learn", "train", "bad.toml", cwd=tmp_path)
    assert bad.returncode == 3 and "learn.task" in bad.stderr and "did you mean 'steps'" in bad.stderr
