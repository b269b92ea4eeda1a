"""Case files: a simulation in TOML, checked before anything is computed."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from perfsim import physiology, units
from perfsim._extras import needed
from perfsim._files import read_text
from perfsim._results import InputError
from perfsim.io.faults import explained
from perfsim.physiology import CONFOUNDERS, HIGHEST_HEMATOCRIT, LEAST_THROAT

with needed("io"):
    from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator


def quantity(kind: str, low: float, high: float, unit: str):
    """A validator for text with a unit; `low` and `high` in `unit` are the range of what can be meant."""

    def check(text: Any) -> float:
        try:
            value = units.parse(text, kind)
            scale = units.parse(f"1 {unit}", kind)
        except InputError as error:
            raise ValueError(str(error)) from None
        if (
            not low * scale * (1.0 - 1e-12) <= value <= high * scale * (1.0 + 1e-12)
        ):  # 100 um is not 0.1 mm in the last bit
            raise ValueError(f"{text!r} is not between {low:g} and {high:g} {unit}")
        return value

    return BeforeValidator(check)


Pressure = Annotated[float, quantity("pressure", 0, 300, "mmHg")]
Length = Annotated[float, quantity("length", 0, 500, "mm")]
Mass = Annotated[float, quantity("mass", 20, 1000, "g")]
MBF = Annotated[float, quantity("perfusion", 0.01, 20, "mL/min/g")]
ViscosityValue = Annotated[float, quantity("viscosity", 0.5, 10, "mPa·s")]
Conductance = Annotated[float, quantity("conductance", 1e-8, 1e-2, "1/(Pa·s)")]
Mobility = Annotated[float, quantity("permeability", 1e-14, 1e-7, "m²/(Pa·s)")]
READING = re.compile(r"(\d+(?:[.,]\d+)?)\s*%(?:\s*(?:±|\+/-|\+-)\s*(\d+(?:[.,]\d+)?)\s*%)?")
"""a share of the diameter in percent, and the standard deviation of its reading"""
Orientation = Literal["sform", "qform"] | None
"""which affine of a NIfTI counts, where its header has none that is valid or two that contradict each other"""


class Section(BaseModel):
    """A section of a case file: keys that it does not know are errors."""

    model_config = ConfigDict(extra="forbid")


class Anatomy(Section):
    """The wall: the embedded one of a given mass, or one from segmented surfaces with guide points."""

    mass: Mass = 0.140
    dominance: Annotated[str, Field(pattern="^(right|left|co)$")] = "right"
    epicardium: Path | None = None
    endocardium: Path | None = None
    right_ventricle: Path | None = None
    guide_points: Path | None = None
    mesh: Path | None = None
    labels: Path | None = None
    label_values: dict[Literal["wall", "cavity", "right_ventricle"], int] = Field(default_factory=dict)
    unit: Annotated[str, Field(pattern="^(mm|cm|m|um)$")] = "mm"
    orientation: Orientation = None

    @property
    def files(self) -> dict[str, Path | None]:
        """The four files that a wall from surfaces needs."""
        return {k: getattr(self, k) for k in ("epicardium", "endocardium", "right_ventricle", "guide_points")}

    @model_validator(mode="after")
    def _all_or_none(self):
        if self.labels is None:
            for key in ("label_values", "orientation"):
                if getattr(self, key):
                    raise ValueError(f"{key} says how labels are read, but there are none: name the file, or remove it")
        if self.mesh is not None:
            if self.guide_points is None:
                raise ValueError(
                    "a wall from a volume mesh needs guide_points, which say where base, apex and septum are"
                )
            return self
        given = [k for k, v in self.files.items() if v is not None]
        lacking = [k for k, v in self.files.items() if v is None]
        if given and lacking:
            raise ValueError(f"a wall from surfaces needs {', '.join(self.files)}: {', '.join(lacking)} missing")
        if given and self.labels is not None:
            raise ValueError("the wall comes from surfaces or from labels, not from both")
        if self.labels is not None and len(self.label_values) < 3:
            raise ValueError("labels need label_values = { wall = …, cavity = …, right_ventricle = … }")
        if len(set(self.label_values.values())) < len(self.label_values):
            raise ValueError(f"label_values gives two parts of the heart one label: {self.label_values}")
        return self


class Vessels(Section):
    """The trunks: the embedded ones, or a left coronary tree from a file."""

    left: Path | None = None
    unit: Annotated[str, Field(pattern="^(mm|cm|m|um)$")] | None = None
    names: dict[str, str] = Field(default_factory=dict)
    place: bool = True
    missing: list[Annotated[str, Field(pattern="^RCA$")]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _territories(self):
        if self.left is not None and "RCA" not in self.missing:
            raise ValueError(
                'a left tree leaves the inferior wall without its artery: say missing = ["RCA"], and the embedded one '
                "is fitted on"
            )
        if self.left is None:
            for key in ("unit", "names", "missing"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} speaks of a tree from a file, but there is none: name it as left, or remove it"
                    )
        return self


class Tree(Section):
    """The grown arterioles."""

    terminals: Annotated[int, Field(ge=10, le=1_000_000)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0
    exponent: Annotated[float, Field(ge=2.0, le=3.5)] = 7 / 3
    shares: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default_factory=dict)
    reference_diameter: Annotated[float, quantity("length", 40, 100, "um")] = physiology.REFERENCE_DIAMETER

    @model_validator(mode="after")
    def _whole(self):
        total = sum(self.shares.values())
        if self.shares and abs(total - 1.0) > 1e-6:
            raise ValueError(f"shares sum to {total:.4g}: they must sum to 1")
        return self


class Mesh(Section):
    """The control volumes."""

    spacing: Annotated[float, quantity("length", 0.5, 6, "mm")] = 1.5e-3


class Lesion(Section):
    """One stenosis. Its diameter reduction is a fraction, or text such as "60 %" or, with the reading's standard
    deviation, "60 % ± 10 %".
    """

    branch: str
    position: Length
    diameter_reduction: float = Field(ge=0.0, lt=1.0 - LEAST_THROAT)
    reading_error: Annotated[float, Field(gt=0.0, le=0.5)] | None = None
    """standard deviation of the diameter reduction; None: what CT angiography misjudges a lumen by"""
    length: Annotated[float, quantity("length", 0.5, 100, "mm")]

    @model_validator(mode="before")
    @classmethod
    def _with_error(cls, given):
        text = given.get("diameter_reduction") if isinstance(given, dict) else None
        if not isinstance(text, str):
            return given
        found = READING.fullmatch(text.strip())
        if found is None:
            raise ValueError(f'diameter_reduction = {text!r} is no reading: write 0.6, "60 %" or "60 % ± 10 %"')
        value, error = (None if x is None else float(x.replace(",", ".")) / 100.0 for x in found.groups())
        return given | {"diameter_reduction": value} | ({} if error is None else {"reading_error": error})


class Treatment(Section):
    """One treatment: a stent or a balloon along a stretch of a branch, or a graft sewn on at a place of it."""

    kind: Literal["stent", "dilation", "graft"]
    branch: str
    start: Length | None = None
    end: Length | None = None
    residual: Annotated[float, Field(ge=0.0, le=0.9)] | None = None
    """diameter reduction that a dilation leaves"""
    position: Length | None = None
    diameter: Annotated[float, quantity("length", 1, 10, "mm")] | None = None
    length: Annotated[float, quantity("length", 10, 400, "mm")] | None = None

    @model_validator(mode="after")
    def _complete(self):
        needs = {
            "stent": ("start", "end"),
            "dilation": ("start", "end", "residual"),
            "graft": ("position", "diameter", "length"),
        }[self.kind]
        given = [
            k for k in ("start", "end", "residual", "position", "diameter", "length") if getattr(self, k) is not None
        ]
        lacking, strange = ([k for k in a if k not in b] for a, b in ((needs, given), (given, needs)))
        if lacking or strange:
            what = f"{', '.join(lacking)} missing" if lacking else f"it has no {', '.join(strange)}"
            raise ValueError(f"a {self.kind} needs {', '.join(needs)}: {what}")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("the stretch must end behind its start")
        return self


class StateSection(Section):
    """Pressures of one state."""

    aortic_pressure: Pressure
    back_pressure_epi: Pressure = physiology.BACK_EPI
    back_pressure_endo: Pressure = physiology.BACK_ENDO

    @model_validator(mode="after")
    def _driving(self):
        if self.aortic_pressure <= max(self.back_pressure_epi, self.back_pressure_endo):
            raise ValueError("the aortic pressure must exceed the back pressures, or no blood flows")
        return self


class Rest(StateSection):
    """The resting state."""

    aortic_pressure: Pressure = physiology.AORTIC_REST
    demand: MBF = physiology.DEMAND


class Hyperemia(StateSection):
    """The hyperemic state."""

    aortic_pressure: Pressure = physiology.AORTIC_HYPEREMIA


class TissueSection(Section):
    """Conductances of the myocardium; the defaults are calibrated on the healthy embedded heart."""

    supply: Conductance = physiology.SUPPLY
    drainage: Conductance = physiology.DRAINAGE
    mobility: Mobility = physiology.MOBILITY
    tone: dict[str, Annotated[float, Field(gt=0.0, le=20.0)]] = Field(default_factory=dict)
    tone_map: Path | None = None
    orientation: Orientation = None


class Blood(Section):
    """Blood's viscosity."""

    plasma_viscosity: ViscosityValue = 1.2e-3
    hematocrit: Annotated[float, Field(ge=0.0, lt=HIGHEST_HEMATOCRIT)] = 0.45


class Fit(Section):
    """What `perfsim fit` may change: by default all that can explain a map as well as one another."""

    parameters: list[str] | None = None
    fixed: list[str] = Field(default_factory=list)
    """parameters that are held at the case's values"""
    sd: MBF = units.ML_MIN_G * 0.25
    fwhm: Annotated[float, quantity("length", 1, 30, "mm")] = 7e-3
    noise: Annotated[float, Field(gt=0.0, le=1.0)] = 0.15
    unit: Literal["mL/min/g", "mL/min/mL", "mL/min/100g"] = "mL/min/g"
    per: Literal["gram", "region"] = "gram"
    orientation: Orientation = None
    draws: Annotated[int, Field(ge=40, le=100_000)] = 400
    """from the posterior, each through the whole model"""

    @model_validator(mode="after")
    def _once(self):
        named = self.parameters or []
        twice = [name for name in named if named.count(name) > 1]
        if twice:
            raise ValueError(f"parameters names {twice[0]!r} {named.count(twice[0])} times: name it once")
        return self


class Learn(Section):
    """What `perfsim learn` trains, and on how many synthetic patients."""

    task: Literal["tone", "direct", "subgrid", "pressure"] = "tone"
    patients: Annotated[int, Field(ge=1, le=9999)] = 16
    held_out: Annotated[int, Field(ge=1, le=9999)] = 4
    volumes: Annotated[int, Field(ge=200, le=1_000_000)] | None = None
    steps: Annotated[int, Field(ge=1)] = 400
    batch: Annotated[int, Field(ge=1)] = 4
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 5e-3
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    rounds: Annotated[int, Field(ge=1, le=32)] = 2
    seed: Annotated[int, Field(ge=0)] = 0


class Case(Section):
    """A whole case; every field has a default, so an empty file is the healthy embedded heart."""

    name: str = "case"
    anatomy: Anatomy = Field(default_factory=Anatomy)
    vessels: Vessels = Field(default_factory=Vessels)
    tree: Tree = Field(default_factory=Tree)
    mesh: Mesh = Field(default_factory=Mesh)
    stenosis: list[Lesion] = Field(default_factory=list)
    treatment: list[Treatment] = Field(default_factory=list)
    rest: Rest = Field(default_factory=Rest)
    hyperemia: Hyperemia = Field(default_factory=Hyperemia)
    tissue: TissueSection = Field(default_factory=TissueSection)
    blood: Blood = Field(default_factory=Blood)
    fit: Fit = Field(default_factory=Fit)
    learn: Learn = Field(default_factory=Learn)

    @property
    def free(self) -> list[str]:
        """The parameters that a fit may change: those that [fit] names, or all confounders that the case has."""
        named = self.fit.parameters
        if named is None:
            named = [name for name in CONFOUNDERS if name != "throat" or self.stenosis]
        return [name for name in named if name not in self.fit.fixed]


def read_case(path: str | Path) -> Case:
    """Read and check a case file. Raises `InputError`, one line per fault: file, key, value and what is accepted."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file (perfsim init DIR writes a commented case to start from)")
    text = read_text(path)
    return parse_case(text, str(path), path.parent)


def parse_case(text: str, source: str = "case", folder: Path | None = None) -> Case:
    """Check a case given as text; see `read_case`. Files that it names are relative to `folder`, and must exist."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not valid TOML: {error}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; a thousand brackets in one another
        raise InputError(f"{source}: holds a number too long, or lists nested too deep, to be read") from None
    try:
        case = Case.model_validate(raw)
    except ValidationError as error:
        raise InputError("\n".join(f"{source}: {line}" for line in explained(error, Case))) from None
    return _located(case, source, Path() if folder is None else folder)


def _located(case: Case, source: str, folder: Path) -> Case:
    """The case with the files it names found."""
    anatomy = case.anatomy.files | {"labels": case.anatomy.labels, "mesh": case.anatomy.mesh}
    named = {"anatomy": anatomy, "vessels": {"left": case.vessels.left}, "tissue": {"tone_map": case.tissue.tone_map}}
    for section, files in named.items():
        for key, path in files.items():
            if path is None:
                continue
            try:
                full = (folder / path.expanduser()).absolute()
            except RuntimeError:
                raise InputError(f"{source}: {section}.{key}: there is no home folder for {path}") from None
            if not full.is_file():
                raise InputError(f"{source}: {section}.{key}: there is no file {full}")
            setattr(getattr(case, section), key, full)
    return case
