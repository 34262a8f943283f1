"""Training on synthetic people: distance from the best possible AUC, speed and memory.

    python benchmarks/association.py [--pairs 1000 10000 100000] [--methods vclip paper ...] [--json FILE]
    python benchmarks/association.py --speed [--device cuda --set precision=bf16 --set batch_size=8192]
    python benchmarks/association.py --memory [--pairs 1000000]

The first command trains each method on each number of pairs and measures it on 4000 unseen people. `batch 320`,
`no flow` and `sge2e loss` are the paper's ablations (configs/association). The second compares the time of a training
step with that of its matrix products alone; the ratio is what counts. The third measures the memory that training
takes in addition to the pairs.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from benchmarks.planted import FACE_SPACE, VOICE_SPACE, Directions, Normals, Planted
from pipelines.config import Config
from pipelines.progress import say, step
from vclip.association.methods import METHODS
from vclip.association.metrics import all_trials, auc
from vclip.association.scores import clip_scores
from vclip.association.training import TrainConfig, fit, train
from vclip.config import load

CONFIGS = Path(__file__).parents[1] / "configs" / "association"
LAWS = {"directions": Directions(), "normals": Normals()}
ABLATIONS = {"batch 320": "paper_batch_320", "no flow": "paper_no_flow", "sge2e loss": "paper_sge2e"}
PEOPLE = 4000  # in the test
TEST_SEED = 1_000_003


def quality(world, counts, names, overrides):
    """Trains every method on every size; returns a row for each."""
    test, best = world.pairs(PEOPLE, TEST_SEED), world.best_auc(PEOPLE, TEST_SEED)
    rows = []
    for count in counts:
        pairs = world.pairs(count, seed=1)
        for name in names:
            method = METHODS.get(name)
            preset = CONFIGS / f"{ABLATIONS[name]}.yaml" if method is None else None
            given = load(Config, preset, [f"train.{override}" for override in overrides]).train
            config = method.config(given) if method else given
            start_s = time.monotonic()
            with step(f"{name} on {count}", config.max_steps, "steps") as progress:
                model, history = train(
                    pairs,
                    FACE_SPACE,
                    VOICE_SPACE,
                    config,
                    lambda done, total, value, bar=progress: bar.set(done, f"dev AUC {value:.4f}"),
                    fit_one=method.fit if method else None,
                )
            found = auc(all_trials(clip_scores(model, test), test.people()))
            row = {
                "pairs": count,
                "method": name,
                "auc": found,
                "best": best,
                "step": history.best_step,
                "took_s": time.monotonic() - start_s,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
            say(f"{count} pairs, {name}: AUC {found:.4f} of {best:.4f} in {row['took_s']:.0f} s")
            rows.append(row)
    return rows


def speed(world, device, overrides, steps=60):
    """Returns the seconds of a training step and of its matrix products alone, measured in turn."""
    given = load(Config, None, [f"train.{override}" for override in overrides]).train
    config = given.model_copy(update={"device": device, "max_steps": steps, "evaluate_every": 10**9})
    pairs = world.pairs(20 * config.batch_size, seed=1)
    rows = []
    for _ in range(3):
        times = []
        fit(pairs, None, FACE_SPACE, VOICE_SPACE, config, lambda *_, times=times: times.append(_now(device)))
        rows.append(((times[-1] - times[9]) / (len(times) - 10), products(world, config, device, steps)))
    return rows


def products(world, config, device, steps):
    """Returns the seconds of the matrix products of one step: one forward and two backward products per layer."""
    size, shape = config.batch_size, config.model
    layers = [(world.d_face, world.d_voice), (world.d_face, shape.hidden), (shape.hidden, world.d_voice)]
    layers += [(world.d_voice, world.d_voice)]
    layers += [(world.d_voice // 2, shape.coupling_hidden), (shape.coupling_hidden, world.d_voice)] * shape.couplings
    pairs = [(torch.randn(size, a, device=device), torch.randn(a, b, device=device)) for a, b in layers]
    pairs.append((torch.randn(size, world.d_voice, device=device), torch.randn(world.d_voice, size, device=device)))
    for number in range(steps + 10):
        if number == 10:
            start_s = _now(device)
        for x, w in pairs:
            y = x @ w
            y @ w.T
            x.T @ y
    return (_now(device) - start_s) / steps


def memory(world, counts, steps=100):
    """Returns the size of the pairs, and the peak memory that training takes in addition, in bytes."""
    rows = []
    for count in counts:
        pairs = world.pairs(count, seed=1)
        size = sum(getattr(pairs, name).nbytes for name in ("faces", "voices"))
        Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
        before = _memory("VmRSS")
        config = TrainConfig(device="cpu", max_steps=steps)
        with step(f"{count} pairs", steps, "steps") as progress:
            train(pairs, FACE_SPACE, VOICE_SPACE, config, lambda done, total, value, bar=progress: bar.set(done))
        rows.append({"pairs": count, "bytes": size, "beside_bytes": _memory("VmHWM") - before})
        del pairs
    return rows


def _memory(name):
    """Returns a figure of this process in bytes (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _now(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--law", choices=LAWS, default="directions", help="of what faces and voices share")
    parser.add_argument("--methods", nargs="+", default=["vclip", "cca", "paper", *ABLATIONS])
    parser.add_argument("--set", action="append", default=[], help="a key of the training's configuration")
    parser.add_argument("--speed", action="store_true", help="time steps instead")
    parser.add_argument("--memory", action="store_true", help="measure what training takes beside the pairs instead")
    parser.add_argument("--device", default="cpu", help="for --speed")
    parser.add_argument("--json", type=Path, help="all figures")
    given = parser.parse_args()
    world = Planted(LAWS[given.law])
    if given.speed:
        result = [{"step_s": a, "products_s": b, "ratio": a / b} for a, b in speed(world, given.device, given.set)]
        for row in result:
            ms = 1000 * row["step_s"], 1000 * row["products_s"]
            print(f"step {ms[0]:.2f} ms, products {ms[1]:.2f} ms: {row['ratio']:.2f}")
    elif given.memory:
        result = memory(world, given.pairs)
        for row in result:
            size, beside = row["bytes"] / 2**30, row["beside_bytes"] / 2**30
            print(f"{row['pairs']:8d} pairs of {size:.2f} GiB: {beside:.2f} GiB beside them, {beside / size:.2f}")
    else:
        result = quality(world, given.pairs, given.methods, given.set)
        for row in result:
            found = f"{row['auc']:.4f} of {row['best']:.4f}, step {row['step']}, {row['took_s']:.0f} s"
            print(f"{row['pairs']:8d} {row['method']:12s} {found}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
