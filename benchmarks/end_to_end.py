"""Learning curves: what 8, 16, 32, 64 patients teach a network about tone, with and without physics.

Hidden is a law from image features to tone (`learn.tone.law`); seen are 17 hyperemic segments of each patient with 5 %
noise, of a truth with other arterioles and twice the volumes. With physics the network reads tone and the simulator
does the rest; without, the same network reads MBF from the same features and all that the simulator knows of a volume.
Both are trained on the same patients, the one without physics also for ten times the steps (which cost it less than
one). 16 patients never seen test them by their true segments, and again with every lesion gone: what an intervention
would show.
"""

import argparse
import json
import time

import perfsim
from perfsim.learn import Direct, ToneNetwork, Training, tone, train
from perfsim.learn.tasks import HELD_OUT

import jax
import numpy as np

perfsim.enable_x64()


def error(model, examples) -> float:
    return float(np.mean([tone.score(model, e)["segment_error"] for e in examples]))


def _said(name: str, found: dict) -> str:
    seen, test, after = (f"{100 * found[k]:.2f}" for k in ("seen", "error", "opened"))
    return f"{name.replace('_', ' ')} {test} % (seen {seen}, opened {after}, {found['seconds']:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="*", default=[8, 16, 32, 64])
    parser.add_argument("--test", type=int, default=16)
    parser.add_argument("--volumes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1, help="trainings from other random parameters, averaged")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    arguments = parser.parse_args()
    perfsim.enable_compile_cache()
    started = time.perf_counter()
    most = max(arguments.patients)
    examples = [tone.example(k, volumes=arguments.volumes) for k in range(most)]
    unseen = [tone.example(HELD_OUT + k, volumes=arguments.volumes) for k in range(arguments.test)]
    opened = [tone.example(HELD_OUT + k, volumes=arguments.volumes, opened=True) for k in range(arguments.test)]
    if not arguments.json:
        print(f"{most} + {arguments.test} patients made in {time.perf_counter() - started:.0f} s", flush=True)
    curve = {}
    for count in arguments.patients:
        row = {}
        for name, kind, longer in (
            ("with_physics", ToneNetwork, 1),
            ("without", Direct, 1),
            ("without_longer", Direct, 10),
        ):
            begun, found = time.perf_counter(), []
            for seed in range(arguments.seeds):
                how = Training(longer * arguments.steps, min(arguments.batch, count), seed=seed)
                model, _ = train(kind.of(jax.random.key(seed)), tone.loss, examples[:count], how)
                found.append((error(model, examples[:count]), error(model, unseen), error(model, opened)))
            seen, test, after = np.mean(found, axis=0)
            row[name] = {"seen": seen, "error": test, "opened": after, "seconds": time.perf_counter() - begun}
        curve[count] = row
        if not arguments.json:
            text = "; ".join(_said(name, found) for name, found in row.items())
            print(f"{count:3d} patients: {text}", flush=True)
    untrained = {
        "with_physics": error(ToneNetwork.of(jax.random.key(0)), unseen),
        "without": error(Direct.of(jax.random.key(0)), unseen),
    }
    print(json.dumps({"curve": curve, "untrained": untrained, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
