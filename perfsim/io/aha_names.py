"""The 17 segments as programs name them: numbers, and names in any order and spelling."""

import re

ORDER = {
    "basal": ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral"),
    "mid": ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral"),
    "apical": ("anterior", "septal", "inferior", "lateral"),
}
FIRST = {"basal": 1, "mid": 7, "apical": 13}
APEX = 17
_LEVEL = {
    "basal": "basal", "base": "basal", "mid": "mid", "middle": "mid", "medial": "mid", "midventricular": "mid",
    "midcavity": "mid", "apical": "apical", "distal": "apical",
}  # fmt: skip
LONGEST = 6
"""characters of a number that may be a segment's, as 17.000"""
_FILLING = {"wall", "segment", "seg", "aha", "ventricular", "cavity", "level", "no", "nr", "region", "s"}
_PLACE = re.compile(r"(ant(?:ero|erior)?)?(inf(?:ero|erior)?)?(sept(?:al|um)?)?(lat(?:eral)?)?")
SUMMARIES = {
    "lad", "lcx", "cx", "rca", "total", "global", "mean", "average", "lv", "myocardium", "left ventricle", "basal",
    "base", "mid", "apical", "min", "max", "sd", "std", "median", "all", "septum", "whole lv", "territory",
}  # fmt: skip
"""rows or columns that sum up segments"""


def segment_of(text: str) -> int | None:
    """The AHA segment (1-17) of a label such as ``"3"``, ``"Seg 03"``, ``"Basal antero-septal"`` or ``"2. basal
    anteroseptal"``, 0 where number and name contradict each other, None for what is no segment.
    """
    words = re.findall(r"[a-z]+|\d+(?:\.0+)?(?![\d.])", text.lower().replace("ö", "o"))
    if re.search(r"\d\.\d*[1-9]|^\s*[-−]\d", text):
        return None
    if any(w[0].isdigit() and len(w) > LONGEST for w in words):
        return None
    numbers = [int(float(w)) for w in words if w[0].isdigit()]
    named = [w for w in words if not w[0].isdigit() and w not in _FILLING]
    by_name = _by_name(named) if named else None
    if len(numbers) > 1 or (named and by_name is None):
        return None
    if not numbers:
        return by_name
    number = numbers[0] if 1 <= numbers[0] <= APEX else None
    return number if by_name in (None, number) else 0


def _by_name(words: list[str]) -> int | None:
    if words in (["apex"], ["apical", "cap"], ["apical", "apex"], ["true", "apex"]):
        return APEX
    levels = [_LEVEL[w] for w in words if w in _LEVEL]
    place = _place("".join(w for w in words if w not in _LEVEL))
    if len(levels) != 1 or place not in ORDER[levels[0]]:
        return None
    return FIRST[levels[0]] + ORDER[levels[0]].index(place)


def _place(text: str) -> str:
    found = _PLACE.fullmatch(text)
    if not found or not text:
        return ""
    front, low, septal, side = found.groups()
    ending = ("septal" if septal else "") + ("lateral" if side else "")
    if front and low:
        return ""
    start = "anter" if front else "infer" if low else ""
    return start + (("o" if start else "") + ending if ending else "ior")


def is_summary(text: str) -> bool:
    """Whether a label is one of a territory, a ring, the whole wall or a statistic."""
    return re.sub(r"[\s_\-]+", " ", text.lower()).strip() in SUMMARIES
