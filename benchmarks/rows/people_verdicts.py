"""What a fit says of patients whose truth is known."""

from pathlib import Path

from rows.row import ROOT, Found, Rows, code_key

ROWS = Rows()
CODE = ("perfsim/inverse", "perfsim/coupling", "perfsim/observe", "benchmarks/verdict_patients.py")
LEAST = 0.25
"""part of each group that a verdict is given of"""


def _store(name: str) -> Path:
    """Where patients are kept until a row is whole: hours of work, and two rows ask for the same ones."""
    folder = ROOT / "out-verdicts" / code_key(CODE)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.jsonl"


def _patients(count: int, reading: bool) -> dict:
    import verdict_patients

    told, _ = verdict_patients.measure(count, reading=reading, store=_store("read" if reading else "not-read"))
    return {k: [round(x, 3) for x in v] if isinstance(v, list) else round(v, 3) for k, v in told.items()}


@ROWS.add(
    "P17", "given ≥ 0.55, in each group ≥ 0.25; right ≥ 0.90 of those; surely wrong ≤ 0.03", costly=True, code=CODE
)
def verdicts_with_a_reading() -> Found:
    told = _patients(200, reading=True)
    shares = min(told["given_by_group"]) >= LEAST and told["given"] >= 0.55
    return Found(told, shares and told["right_of_given"] >= 0.90 and told["surely_wrong"] <= 0.03, told["patients"])


@ROWS.add("P18", "90 % intervals of FFR and tone cover 0.86-0.94, ≥ 0.80 in each group", costly=True, code=CODE)
def intervals_cover() -> Found:
    told = _patients(200, reading=True)
    names = ("ffr_covered", "tone_covered")
    overall = all(0.86 <= told[name] <= 0.94 for name in names)
    return Found(told, overall and all(min(told[f"{name}_by_group"]) >= 0.80 for name in names), told["patients"])


@ROWS.add(
    "P20", "goodness of fit finds each of four faults in ≥ 0.90, and one in ≤ 0.05 of the clean", costly=True, code=CODE
)
def goodness_finds_faults() -> Found:
    import verdict_patients

    told = {
        fault: verdict_patients.share_found(200 if fault == "none" else 100, fault, store=_store(fault))
        for fault in verdict_patients.FAULTS
    }
    faults = [share for fault, share in told.items() if fault != "none"]
    return Found(told, min(faults) >= 0.90 and told["none"] <= 0.05, 600)


@ROWS.add("P19", "without a reading: right ≥ 0.88 of those given; surely wrong ≤ 0.03", costly=True, code=CODE)
def verdicts_without_a_reading() -> Found:
    told = _patients(100, reading=False)
    return Found(told, told["right_of_given"] >= 0.88 and told["surely_wrong"] <= 0.03, told["patients"])
