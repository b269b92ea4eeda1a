"""What is behind each territory's flow: a stenosis, its microvessels, both, neither, or what the data cannot tell."""

import dataclasses
from collections.abc import Sequence

from perfsim.coupling import Simulation
from perfsim.inverse.groups import lesion_labels
from perfsim.inverse.identifiability import Value
from perfsim.inverse.linearized import evaluate, model_at
from perfsim.inverse.posterior import Ensemble, Posterior
from perfsim.inverse.quantities import ISCHEMIC
from perfsim.observe import behind, lesion_sites, territory_shares

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

DYSFUNCTION = 0.6
"""microvascular tone, of the healthy one, at or below which a territory counts as diseased"""
SURE = 0.8
"""probability from which a verdict is given"""
FEEDS = 0.25
"""part of a territory's tissue behind a stenosis from which the stenosis is the territory's, though it feeds more of
another: that of the left main is the LAD's and the LCx's"""
KINDS = ("neither", "obstructive stenosis", "microvascular dysfunction", "both")
CANNOT_TELL = "cannot tell"
WORDS = {
    "neither": "no obstructive stenosis, no microvascular dysfunction",
    "both": "obstructive stenosis and microvascular dysfunction",
}
UNLISTED = {
    "neither": "no microvascular dysfunction; a stenosis was not looked for",
    "microvascular dysfunction": "microvascular dysfunction, or a stenosis that is not listed",
}
"""what can be said of a territory for which no stenosis is listed"""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the data say of one territory."""

    territory: str
    probability: dict[str, float]
    """of each of `KINDS`; they sum to 1"""
    ffr: tuple[float, float, float] | None
    """5, 50 and 95 % of the lowest FFR past its stenoses; None where none is listed"""
    tone: tuple[float, float, float]
    """5, 50 and 95 % of its microvascular tone, 1 where it is healthy"""
    reliable: bool
    """whether the draws behind it are"""
    following: str = ""
    """the measurement that would tell most of it"""

    @property
    def likeliest(self) -> str:
        return max(self.probability, key=lambda kind: self.probability[kind])

    @property
    def given(self) -> str:
        """One of `KINDS`, or "cannot tell"."""
        sure = self.reliable and self.probability[self.likeliest] >= SURE
        return self.likeliest if sure else CANNOT_TELL

    @property
    def words(self) -> str:
        """The verdict as one says it."""
        return (UNLISTED if self.ffr is None else WORDS).get(self.given, self.given)

    @property
    def obstructive(self) -> float:
        """Probability that FFR is at most 0.80."""
        return self.probability["obstructive stenosis"] + self.probability["both"]

    @property
    def microvascular(self) -> float:
        """Probability that tone is at most 0.6."""
        return self.probability["microvascular dysfunction"] + self.probability["both"]

    @property
    def numbers(self) -> str:
        """The probabilities behind it, and what to measure next where it cannot tell."""
        stenosis = f"P(stenosis, FFR ≤ {ISCHEMIC:.2f}) {in_hundredths(self.obstructive)}"
        if self.ffr is None:
            stenosis = "no stenosis is listed"
        following = f"; to measure next: {self.following}" if self.given == CANNOT_TELL and self.following else ""
        return f"{stenosis}, P(microvascular, tone ≤ {DYSFUNCTION:.1f}) {in_hundredths(self.microvascular)}{following}"

    def __str__(self) -> str:
        return f"{self.territory}: {self.words} ({self.numbers})"


def in_hundredths(p: float) -> str:
    """A probability of some hundred draws."""
    return "< 0.01" if p < 0.005 else "> 0.99" if p > 0.995 else f"= {p:.2f}"


def verdicts(known: Posterior, draws: Ensemble, values: Sequence[Value] = ()) -> list[Verdict]:
    """Judge every territory by the draws of a posterior.

    Arguments: `known`, the posterior; `draws`, what `clinical_table` drew from it (they hold "FFR" of each stenosis and
    the parameters of each draw); `values`, what further measurements would tell (`next_measurement`).

    Returns one verdict a territory. It is given where one of the four kinds has a probability of 0.8 and the draws are
    reliable. A territory without a listed stenosis is taken to have none: see `left_out`.

    Source: obstructive is FFR ≤ 0.80 (Tonino et al. 2009, N Engl J Med 360:213); a tone of 0.6 is a microvascular
    resistance 1.7 times the healthy one.
    """
    sim = known.fit.sim
    posed = known.fit.problem
    shares = territory_shares(sim, evaluate(posed, known.fit.xi, every_state=True).solution.hyperemia)
    ffr = draws.values["FFR"]
    tone = np.stack([territory_tone(model_at(posed, jnp.asarray(x)).sim, posed.model.sim, shares) for x in draws.xi])
    out = []
    for t, name in enumerate(sim.parts()[2].territory_names):
        feeding = feeding_lesions(sim, t)
        lowest = np.min(ffr[:, feeding], axis=1) if feeding else np.ones(len(ffr))
        narrow, stiff = lowest <= ISCHEMIC, tone[:, t] <= DYSFUNCTION
        cases = (~narrow & ~stiff, narrow & ~stiff, ~narrow & stiff, narrow & stiff)
        found = dataclasses.replace(draws, values={"ffr": lowest, "tone": tone[:, t]})
        quantiles = {n: tuple(float(found.quantile(q, n)) for q in (0.05, 0.5, 0.95)) for n in ("ffr", "tone")}
        out.append(
            Verdict(
                territory=name,
                probability={k: float(draws.weight @ case) for k, case in zip(KINDS, cases, strict=True)},
                ffr=quantiles["ffr"] if feeding else None,
                tone=quantiles["tone"],
                reliable=draws.reliable,
                following=_most_telling(known, values, name, feeding),
            )
        )
    return out


def territory_tone(
    sim: Simulation, nominal: Simulation, shares: Float[Array | np.ndarray, "volumes territories"]
) -> Float[np.ndarray, " territories"]:
    """Mean microvascular tone of each territory: that of its terminals, by the tissue they feed, times what `sim`'s
    supply conductance is over the `nominal` one, by the shares of the territories in each volume.
    """
    tissue, demand, count = sim.parts()[2], np.asarray(sim.network.demand), len(sim.parts()[2].territory_names)
    own = np.asarray(tissue.territory)
    each = np.asarray(tissue.tone)[own] * np.asarray(tissue.terminal_tone)
    at_terminals = np.bincount(own, demand * each, count) / np.bincount(own, demand, count)
    volume = np.asarray(sim.parts()[0].volume)
    factor = np.broadcast_to(np.asarray(tissue.supply / nominal.parts()[2].supply), volume.shape)
    weight = np.where(volume[:, None] > 0, np.nan_to_num(np.asarray(shares)) * volume[:, None], 0.0)
    return at_terminals * (factor @ weight) / np.sum(weight, axis=0)


def feeding_lesions(sim: Simulation, territory: int) -> list[int]:
    """The stenoses of a territory: those that feed more of it than of any other, or at least a quarter of it."""
    own, demand = np.asarray(sim.parts()[2].territory), np.asarray(sim.network.demand)
    count = len(sim.parts()[2].territory_names)
    whole = np.bincount(own, demand, count)
    found = []
    for k, site in enumerate(lesion_sites(sim)):
        fed = np.bincount(own, demand * np.asarray(behind(sim, int(site))), count)
        if np.argmax(fed) == territory or fed[territory] >= FEEDS * whole[territory]:
            found.append(k)
    return found


def _most_telling(known: Posterior, values: Sequence[Value], territory: str, feeding: list[int]) -> str:
    """The measurement that leaves least of what is uncertain about a territory: its tone and its stenoses."""
    labels = lesion_labels(known.fit.sim)
    asked = {f"{kind}[{labels[k]}]" for kind in ("throat", "severity") for k in feeding} | {f"tone[{territory}]"}
    left = [(sum(v.sd[n] for n in asked & set(v.sd)), v.name) for v in values if asked & set(v.sd)]
    return min(left)[1] if left else ""
