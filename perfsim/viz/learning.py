"""How a training went, as a picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_learning(path: Path, history: list[float], scores: dict[str, dict[str, list[float]]], title: str) -> None:
    """Loss by step with its running mean, and the errors of patients held out, one point each."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    (left, right) = figure.subplots(1, 2)
    loss, steps = np.asarray(history), np.arange(1, len(history) + 1)
    left.plot(steps, loss, lw=0.8, alpha=0.4, label="each step")
    window = max(1, len(loss) // 20)
    left.plot(steps[window - 1 :], np.convolve(loss, np.ones(window) / window, "valid"), label=f"mean of {window}")
    left.set(xlabel="step", ylabel="loss", yscale="log" if loss.min() > 0 else "linear")
    left.legend(frameon=False, fontsize=8)
    columns = [(model, name, v) for model, by_name in scores.items() for name, v in by_name.items()]
    for k, (_, _, values) in enumerate(columns):
        right.plot(np.full(len(values), k), 100 * np.asarray(values), "o", ms=5, alpha=0.5)
        right.hlines(100 * np.mean(values), k - 0.3, k + 0.3, color="0.3")
    labels = [f"{model}\n{name.replace('_', ' ')}" for model, name, _ in columns]
    right.set(ylabel="error [%], patients held out", ylim=(0, None), xlim=(-0.6, len(columns) - 0.4))
    right.set_xticks(range(len(columns)), labels, fontsize=8)
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
