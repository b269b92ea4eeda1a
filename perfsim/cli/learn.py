"""Training and testing networks on the synthetic cohort."""

import json
import time
from pathlib import Path
from typing import Any

from perfsim import _runtime, io
from perfsim._results import InputError
from perfsim.cli.folder import ResultFolder, claimed
from perfsim.cli.stages import Stage, Stages
from perfsim.cli.tables import print_table
from perfsim.cli.terminal import open_console
from perfsim.learn import TASKS, Task, Training, described, load, save, train
from perfsim.learn.tasks import HELD_OUT
from perfsim.viz.learning import draw_learning

import jax
import numpy as np
from rich.console import Console

MODEL = "model.perfsim"


def train_case(case: io.Case, out: Path, overwrite: bool = False, quiet: bool = False) -> None:
    """Train, test on patients held out, and write the model, how it was trained, and a picture.

    An interrupted training goes on from the checkpoint that it leaves in `out`.
    """
    console = open_console(quiet)
    with claimed(out, overwrite, MODEL) as folder:
        scores, unseen = _trained(case, folder, Stages(console))
    _print(console, TASKS[case.learn.task], scores, unseen)
    console.print(f"The model is {out / MODEL}; beside it learn.json and learn.png")


def _trained(case: io.Case, folder: ResultFolder, stages: Stages) -> tuple[dict, int]:
    """Train and write; returns the scores and the number of samples that they are of."""
    _runtime.enable_compile_cache()
    asked, task = case.learn, TASKS[case.learn.task]
    how = Training(asked.steps, asked.batch, asked.rate, asked.seed)
    model = task.kind.of(jax.random.key(asked.seed), width=asked.width, rounds=asked.rounds)
    with stages.show():
        with stages.stage("patients") as stage:
            samples = _patients(task, case, 0, asked.patients, stage)
        with stages.stage("train") as stage:
            started = time.perf_counter()

            def tell(step: int, loss: float) -> None:
                stage.update(step, how.steps, f"step {step} of {how.steps}, loss {loss:.4g}")

            resumed = folder.checkpoint.exists()
            trained, history = train(model, task.loss, samples, how, progress=tell, checkpoint=folder.checkpoint)
            seconds = time.perf_counter() - started
        with stages.stage("test") as stage:
            unseen = _patients(task, case, HELD_OUT, asked.held_out, stage)
            scores = {name: _scores(task, m, unseen) for name, m in (("untrained", model), ("trained", trained))}
    about = {
        "task": asked.task, "learn": asked.model_dump(), "seconds": round(seconds, 1), "resumed": resumed,
        "loss": {"first": history[0], "last": history[-1]}, "held_out": scores,
    }  # fmt: skip
    with folder.filled() as scratch:
        save(scratch / MODEL, trained, about)
        (scratch / "learn.json").write_text(json.dumps(about | {"history": history}, indent=1), encoding="utf-8")
        draw_learning(scratch / "learn.png", history, scores, f"{case.name}: {task.about}")
    return scores, len(unseen)


def evaluate_case(case: io.Case, path: Path) -> None:
    """Test a saved model on the patients held out by a case."""
    console = open_console()
    _runtime.enable_compile_cache()
    model, task = load(path), TASKS[case.learn.task]
    if not isinstance(model, task.kind):
        raise InputError(
            f"{path}: a {type(model).__name__}, but learn.task = {case.learn.task!r} needs a {task.kind.__name__}; it "
            f"was trained for {described(path)['about'].get('task', 'something else')!r}"
        )
    stages = Stages(console)
    with stages.show(), stages.stage("test") as stage:
        unseen = _patients(task, case, HELD_OUT, case.learn.held_out, stage)
        scores = {"this model": _scores(task, model, unseen)}
    _print(console, task, scores, len(unseen))


def _patients(task: Task, case: io.Case, first: int, count: int, stage: Stage) -> list[Any]:
    samples: list[Any] = []
    for k in range(count):
        samples += task.patient(first + k, case.learn.seed, case.learn.volumes or task.volumes)
        stage.update(k + 1, count, f"{k + 1} of {count} patients")
    return samples


def _scores(task: Task, model, samples) -> dict[str, list[float]]:
    each = [task.score(model, sample) for sample in samples]
    return {name: [float(score[name]) for score in each] for name in each[0]}


def _print(console: Console, task: Task, scores: dict[str, dict[str, list[float]]], count: int) -> None:
    rows = [
        [model, name.replace("_", " "), f"{100 * np.mean(v):.2f} %", f"{100 * np.max(v):.2f} %"]
        for model, by_name in scores.items()
        for name, v in by_name.items()
    ]
    console.print(f"\n{task.about}, on {count} samples never seen")
    print_table(console, "Error", ["model", "error", "mean", "worst"], rows)
