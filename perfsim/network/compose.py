"""Networks from networks: finer sampling, unions, new names."""

from collections.abc import Sequence

from perfsim._results import InputError
from perfsim.network.vessels import VesselNetwork

import numpy as np


def resample(network: VesselNetwork, step: float) -> VesselNetwork:
    """Cut every vessel into equal pieces no longer than `step` [m], lumens interpolated. For trunks, before growth."""
    tail, head = np.asarray(network.tail), np.asarray(network.head)
    position, lumen = np.asarray(network.position), np.asarray(network.lumen)
    pieces = np.maximum(np.ceil(np.asarray(network.length) / step).astype(int), 1)
    points, tails, heads, radii, source = [position], [], [], [], []
    size = len(position)
    for v, n in enumerate(pieces):
        s = np.linspace(0.0, 1.0, n + 1)[:, None]
        points.append((position[tail[v]] * (1 - s) + position[head[v]] * s)[1:-1])
        chain = np.concatenate([[tail[v]], size + np.arange(n - 1), [head[v]]])
        size += n - 1
        tails.append(chain[:-1])
        heads.append(chain[1:])
        r = (lumen[v, 0] * (1 - s) + lumen[v, 1] * s).ravel()
        radii.append(np.stack([r[:-1], r[1:]], 1))
        source.append(np.full(n, v))
    vessel = np.concatenate(source)
    return VesselNetwork.build(
        np.concatenate(points),
        np.concatenate(tails),
        np.concatenate(heads),
        np.concatenate(radii),
        branch=np.asarray(network.branch)[vessel],
        measured=np.asarray(network.measured)[vessel],
        **_ends(network),
    )


def union(*networks: VesselNetwork) -> VesselNetwork:
    """Several networks as one, each with its own inlets; branch names must differ."""
    names: list[str] = []
    columns: dict[str, list] = {}
    start = 0
    for network in networks:
        shared = set(names) & set(network.branch_names)
        if shared:
            raise InputError(f"two networks have a branch {sorted(shared)[0]!r}: rename one of them first")
        ends = _ends(network)
        for key in ("inlets", "terminals", "outlets"):
            columns.setdefault(key, []).append(ends[key] + start)
        for key in ("root_radius", "demand", "outlet_demand"):
            columns.setdefault(key, []).append(ends[key])
        columns.setdefault("tail", []).append(np.asarray(network.tail) + start)
        columns.setdefault("head", []).append(np.asarray(network.head) + start)
        columns.setdefault("branch", []).append(np.asarray(network.branch) + len(names))
        for key in ("position", "lumen", "measured"):
            columns.setdefault(key, []).append(np.asarray(getattr(network, key)))
        names += network.branch_names
        start += len(network.position)
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    return VesselNetwork.build(
        **joined,
        branch_names=tuple(names),
        inlet_names=sum((n.inlet_names for n in networks), ()),
        outlet_names=sum((n.outlet_names for n in networks), ()),
        exponent=networks[0].exponent,
    )


def relabel(network: VesselNetwork, branch: np.ndarray, branch_names: Sequence[str], **changes) -> VesselNetwork:
    """The same vessels under other branches; `changes` replace arguments of `VesselNetwork.build`."""
    arguments = {
        "position": network.position,
        "tail": network.tail,
        "head": network.head,
        "lumen": network.lumen,
        "measured": network.measured,
    } | _ends(network)
    return VesselNetwork.build(**(arguments | {"branch": branch, "branch_names": tuple(branch_names)} | changes))


def _ends(network: VesselNetwork) -> dict:
    arrays = ("inlets", "terminals", "outlets", "root_radius", "demand", "outlet_demand", "exponent")
    names = ("branch_names", "inlet_names", "outlet_names")
    return {k: np.asarray(getattr(network, k)) for k in arrays} | {k: getattr(network, k) for k in names}
