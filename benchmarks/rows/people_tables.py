"""Tables, images and PET as people have them: the share of the kinds that are read right or refused in a sentence."""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import perfsim

from rows.row import ROOT, Found, Rows

sys.path.insert(0, str(ROOT / "tests"))
perfsim.enable_x64()
perfsim.enable_compile_cache()
ROWS = Rows()
row = ROWS.add


def counted(cases: Iterable[tuple[str, Callable[[Path], bool]]]) -> Found:
    """How many of the named cases hold, each in a folder of its own; the first that fail by name."""
    wrong, count = [], 0
    for name, holds in cases:
        count += 1
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not holds(Path(folder)):
                wrong.append(name)
    return Found(f"{count - len(wrong)} of {count}" + "".join(f"; not {name}" for name in wrong[:5]), not wrong, count)


def said_of(call: Callable) -> str:
    """The refusal and the notes of a call, as one text."""
    from perfsim._notes import collect_notes

    try:
        with collect_notes() as notes:
            call()
    except perfsim.InputError as error:
        return f"refused: {error}"
    return " ".join(notes)


def tables(kinds: Iterable[str]) -> Iterable[tuple[str, Callable[[Path], bool]]]:
    """Every reader of tables against these kinds."""
    from people_tables import READERS, is_right

    for reader in READERS:
        for kind in kinds:
            yield f"{reader}, {kind}", lambda folder, reader=reader, kind=kind: is_right(READERS[reader], kind, folder)


DECIMALS = (
    "as it is", "semicolons, decimal commas", "semicolons, decimal points", "sep= in front", "tabs",
    "blanks after commas", "empty lines, empty columns", "decimal commas between commas", "points and commas",
    "a row too long", "a word for a number", "infinite",
)  # fmt: skip
"""kinds of numbers and separators; the others are of encodings, files and names"""


@row("P1", "decimal commas, separators, blanks, empty cells: read right or refused, by every reader of tables")
def decimal_commas() -> Found:
    return counted(tables(DECIMALS))


@row("P2", "encodings, gzip, workbooks, capitals, two columns of one name: read or refused, by every reader of tables")
def encodings() -> Found:
    from people_tables import KINDS

    return counted(tables([k for k in KINDS if k not in DECIMALS]))


def labels(kinds: Iterable[str]) -> Iterable[tuple[str, Callable[[Path], bool]]]:
    """Label maps of these kinds against the sound one."""
    from perfsim.io.labelmap import wall_from_labels

    import nibabel as nib
    import numpy as np
    from test_people_images import KINDS, VALUES, cup

    def holds(folder: Path, kind: str) -> bool:
        make, words = KINDS[kind]
        nib.save(KINDS["as it is"][0](*cup()), folder / "sound.nii.gz")
        nib.save(make(*cup()), folder / "l.nii.gz")
        sound = wall_from_labels(folder / "sound.nii.gz", **VALUES, spacing=2e-3)
        try:
            found = wall_from_labels(folder / "l.nii.gz", **VALUES, spacing=2e-3)
        except perfsim.InputError as error:
            return words is not None and "l.nii.gz" in str(error)
        near = abs(found.mask.sum() / sound.mask.sum() - 1) < 0.01
        return words is None and near and bool(np.abs(found.frame.lateral - sound.frame.lateral).max() < 0.03)

    for kind in kinds:
        yield f"labels, {kind}", lambda folder, kind=kind: holds(folder, kind)


ORIENTATION = ("both codes, agreeing", "qform alone", "axes turned", "no codes", "codes in conflict")


@row("P4", "NIfTI orientation: used, or refused without codes or in conflict")
def orientation() -> Found:
    return counted(labels(ORIENTATION))


@row("P5", "NIfTI of any dimension, type, unit, scale and version: read; RGB, empty and interpolated labels refused")
def images() -> Found:
    from test_people_images import KINDS

    return counted(labels(k for k in KINDS if k not in ORIENTATION))


@row("P6", "PET sidecars: decay, clocks, units, durations, NaN, folders above; blood curves late, at frames, delayed")
def sidecars() -> Found:
    from perfsim.io.sidecars import read_sidecar

    from test_people_pet import SOUND

    wrong = {
        "ends as durations": {"FrameDuration": [5, 10, 20, 40]},
        "an infinite frame": {"FrameDuration": [5, 5, 10, float("inf")]},
        "a frame that is NaN": {"FrameTimesStart": [float("nan"), 5, 10, 20]},
        "milliseconds": {k: [1e3 * x for x in SOUND[k]] for k in ("FrameTimesStart", "FrameDuration")},
        "minutes": {k: [x / 60 for x in SOUND[k]] for k in ("FrameTimesStart", "FrameDuration")},
        "overlap": {"FrameTimesStart": [0, 5, 8, 20]},
        "counts": {"Units": "counts"},
        "scan start": {"ScanStart": 30},
        "factors": {"DecayCorrectionFactor": [1, 1, 1, 1]},
        "not corrected": {"ImageDecayCorrected": False},
        "injection": {"InjectionStart": 7},
        "no word of decay": {"ImageDecayCorrected": None},
    }

    def holds(folder: Path, changes: dict) -> bool:
        content = {k: v for k, v in (SOUND | changes).items() if v is not None}
        (folder / "s.json").write_text(json.dumps(content))
        return bool(said_of(lambda: read_sidecar(folder / "s.json")))

    cases = [(name, lambda folder, c=changes: holds(folder, c)) for name, changes in wrong.items()]
    return counted([("sound", lambda folder: not holds(folder, {})), *cases, *blood_curves()])


def blood_curves() -> Iterable[tuple[str, Callable[[Path], bool]]]:
    """MBF of ⁸²Rb from image-derived curves, and of tissue that lags the pool; curves that start late are refused."""
    from perfsim.observe.tracers import Curve, Frames, Region, Rubidium, fit_regions, frame_means

    import jax.numpy as jnp
    import numpy as np

    t = np.arange(0.0, 301.0, 0.5)
    late = np.maximum(t - 12.0, 0.0)
    blood = Curve.of(t, 1e5 * ((late / 8) ** 2 * np.exp(2 - late / 4) / 4 + 0.08 * (1 - np.exp(-late / 20))))
    frames, tracer, mbf = (
        Frames.sequence((14, 5), (3, 10), (3, 20), (4, 30)),
        Rubidium(volume=0.8),
        jnp.array([0.8, 2.5]),
    )

    def off(late: float, curve: Curve, **how) -> float:
        seen = Region(mbf, jnp.full(2, 0.7), jnp.full(2, 0.2), delay=jnp.full(2, late)).activity(tracer, blood, frames)
        return float(np.max(np.abs(fit_regions(seen, tracer, curve, frames, **how)[0].mbf / mbf - 1)))

    yield "image-derived", lambda _: off(0.0, Curve.of_frames(frames, frame_means(blood, frames))) < 0.03
    yield "delayed", lambda _: off(4.0, blood, delay="fit") < 0.01
    cut = Curve(blood.time[60:], blood.activity[60:])
    yield "late", lambda _: "begins at 30 s" in said_of(lambda: fit_regions(jnp.ones((1, 24)), tracer, cut, frames))
    small = Curve(blood.time, 1e-3 * blood.activity)
    yield "another unit", lambda _: "in one unit" in said_of(lambda: off(0.0, small))


@row("P13", "segments of other programs: rows or columns, names or numbers, per mL or 100 g, both states, workbooks")
def exports() -> Found:
    from perfsim.io import read_segments

    import numpy as np
    from test_people_tables import EXPORTS, REST, STRESS

    def holds(folder: Path, text: str) -> bool:
        (folder / "e.csv").write_text(text, encoding="utf-8")
        found = {s: read_segments(folder / "e.csv", 0.25, s)[0] for s in ("rest", "hyperemia")}
        return np.allclose(found["rest"], REST, rtol=1e-5) and np.allclose(found["hyperemia"], STRESS, rtol=1e-5)

    return counted((name, lambda folder, text=text: holds(folder, text)) for name, text in EXPORTS.items())


@row("P14", "Pd/Pa above 1.02, exchanged, negative, and periods with a jump: a note; a sound recording: none")
def implausible() -> Found:
    from perfsim.flow.pulsatile.waveform import read_waveform
    from perfsim.io import read_pressure_wire

    import numpy as np
    from test_people_tables import trace

    def wire(folder: Path, columns) -> str:
        rows = "".join(",".join(f"{x:.6g}" for x in r) + "\n" for r in np.array(columns).T)
        (folder / "w.csv").write_text("t_s,Pa_mmHg,Pd_mmHg\n" + rows)
        return said_of(lambda: read_pressure_wire(folder / "w.csv"))

    def waveform(folder: Path, text: str) -> str:
        (folder / "q.dat").write_text(text)
        return said_of(lambda: read_waveform(folder / "q.dat"))

    t, pa, pd = trace(0.95, 0.75)
    _, _, drifting = trace(1.0, 0.75)
    return counted([
        ("sound", lambda d: wire(d, (t, pa, pd)) == ""),
        ("drift", lambda d: "Pd lies 8.0 mmHg above Pa" in wire(d, (t, pa, drifting + 8))),
        ("exchanged", lambda d: "exchanged" in wire(d, (t, pd, pa))),
        ("negative", lambda d: "negative" in wire(d, (t, pa, np.where(t < 2, -30, pd)))),
        ("zero", lambda d: "is 0 in" in wire(d, (t, pa, np.where(t < 2, 0, pd)))),
        ("kPa", lambda d: "kPa" in wire(d, (t, pa * 0.1333, pd * 0.1333))),
        ("ms", lambda d: "in ms" in wire(d, (1e3 * t, pa, pd))),
        ("open period", lambda d: "50 %" in waveform(d, "0 0\n0.3 1\n1 0.5\n")),
        ("closed period", lambda d: waveform(d, "0 0\n0.3 1\n1 0\n") == ""),
    ])  # fmt: skip


@row("P15", "DICOM PET: classic, enhanced, legacy; each fault of the clocks read to the known map or refused")
def dicom() -> Found:
    from perfsim.io.dicom import read_series

    import numpy as np
    from test_people_pet import DURATION, SERIES, START, TRUTH, changed

    def is_truth(folder: Path, starts) -> bool:
        values, _, said = read_series(folder)
        close = np.abs(values - TRUTH).max() < 4e-5 * TRUTH.max() and np.allclose(said.start, starts, atol=1e-3)
        return bool(close and np.allclose(said.duration, DURATION))

    def holds(folder: Path, scan, expected) -> bool:
        scan.write(folder)
        try:
            return is_truth(folder, 0.0 if isinstance(expected, str) else expected) and not isinstance(expected, str)
        except perfsim.InputError:
            return isinstance(expected, str)

    cases = [(name, lambda folder, c=case: holds(folder, *c)) for name, case in SERIES.items()]
    enhanced = [
        (name, lambda folder, legacy=legacy: is_truth(changed().write_enhanced(folder, legacy), START))
        for name, legacy in (("enhanced", False), ("legacy converted enhanced", True))
    ]
    return counted([*cases, *enhanced])
