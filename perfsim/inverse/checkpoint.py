"""The file from which an interrupted fit goes on. It says what it belongs to, and serves nothing else."""

import dataclasses
import json
import logging
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from perfsim._fingerprint import fingerprint
from perfsim._results import InputError
from perfsim.inverse.gauss_newton import Trust
from perfsim.inverse.problem import Problem

import numpy as np

_log = logging.getLogger(__name__)
_MEANING = {
    "parameters": "other free parameters",
    "vessels": "another tree",
    "volumes": "other volumes",
    "data": "other measurements",
    "start": "another start (lesions, tissue, states or priors)",
}


@dataclasses.dataclass
class Progress:
    """All that a fit needs to go on."""

    xi: np.ndarray
    iteration: int = 0
    before: float = np.inf
    """cost at the start"""
    rejected: bool = False
    """whether the last step was"""
    trust: Trust = dataclasses.field(default_factory=Trust)


def owner(posed: Problem, names: Sequence[str]) -> dict[str, str]:
    """What a fit is of, part by part: parameters, the patient's vessels and volumes, the data, all other numbers."""
    model = posed.model
    return {
        "parameters": ", ".join(names),
        "vessels": fingerprint(model.sim.network),
        "volumes": fingerprint(model.sim.parts()[0]),
        "data": fingerprint(model.data),
        "start": fingerprint(posed),
    }


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A file (.npz) of the progress of one fit."""

    path: Path
    owner: dict[str, str]

    def read(self) -> Progress | None:
        """The progress, or None where there is no file.

        Raises `InputError` for a file that is damaged, cut, of another version, or of another fit, with what differs.
        """
        if not self.path.exists():
            return None
        again = "remove it to start anew"
        try:
            with np.load(self.path) as saved:
                content = {name: saved[name] for name in saved.files}
            owner = json.loads(str(content.get("owner", "{}")))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: this checkpoint is damaged or cut ({error}): {again}") from None
        trust = [f.name for f in dataclasses.fields(Trust)]
        if not {"owner", "xi", "iteration", "before", "rejected", *trust} <= set(content):
            raise InputError(f"{self.path}: this checkpoint is of another version of perfsim: {again}")
        differs = [said for part, said in _MEANING.items() if owner.get(part) != self.owner[part]]
        if differs:
            raise InputError(f"{self.path}: this checkpoint is of another fit ({self._why(owner, differs)}): {again}")
        return Progress(
            content["xi"], int(content["iteration"]), float(content["before"]), bool(content["rejected"]),
            Trust(**{name: content[name].item() for name in trust}),
        )  # fmt: skip

    def _why(self, owner: dict[str, str], differs: list[str]) -> str:
        if owner.get("parameters") != self.owner["parameters"]:
            return f"of the parameters {owner.get('parameters')}; this one is of {self.owner['parameters']}"
        return differs[0] if len(differs) == 1 or differs[-1] != _MEANING["start"] else ", ".join(differs[:-1])

    def write(self, progress: Progress) -> None:
        """Write the progress, whole or not at all. A disk that is full ends no fit: the log says so."""
        part = self.path.with_name(self.path.name + ".part")
        numbers = dataclasses.asdict(progress.trust) | {
            "iteration": progress.iteration, "before": progress.before, "rejected": progress.rejected,
            "owner": json.dumps(self.owner),
        }  # fmt: skip
        try:
            with part.open("wb") as file:
                np.savez(file, xi=progress.xi, **numbers)
            part.replace(self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            _log.warning("%s: the checkpoint could not be written (%s); the fit goes on", self.path, error.strerror)
