"""Networks inside the verified scheme: coefficients, and pressures that the solver certifies and finishes."""

from perfsim._extras import needed

with needed("learn"):
    from perfsim.learn.closures import Closures
    from perfsim.learn.pressure import PressureNetwork
    from perfsim.learn.store import described, load, save
    from perfsim.learn.tasks import TASKS, Task
    from perfsim.learn.tone import Direct, ToneNetwork
    from perfsim.learn.training import Training, train

__all__ = [
    "TASKS",
    "Closures",
    "Direct",
    "PressureNetwork",
    "Task",
    "ToneNetwork",
    "Training",
    "described",
    "load",
    "save",
    "train",
]
