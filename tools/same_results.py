"""Show that two checkouts give the same results on the same inputs.

    python tools/same_results.py make --checkout ../before --shared ../shared --out work/before
    python tools/same_results.py make --checkout . --shared ../shared --out work/after
    python tools/same_results.py compare work/before work/after
    python tools/same_results.py reopen --checkout . --made work/before --out work/reopened


`make` runs the jobs with the code of one checkout. `compare` sets two such folders side by side: rows of the store
(ids, times and boxes equal, vectors within 1e-4), figures and weights of the model, speech by the sample. `reopen`
lets the code of a checkout read, train, evaluate and generate from a store, a model and speakers that another one
made.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

VECTOR_TOLERANCE = 1e-4
CLIPS, PAIRS = 24, 240
TRAIN = ("train.max_steps=150", "train.evaluate_every=25", "train.cross_fit_below=0")
DISTILL = ("signature.speakers=60", "signature.sentences=1")
TEXT = "The morning train was late again, so we walked."


def main() -> None:
    """Runs `make`, `compare` or `reopen`; ends with status 1 where results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("make", "reopen"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--checkout", type=Path, required=True, help="whose code runs")
        sub.add_argument("--out", type=Path, required=True, help="folder to write")
        sub.add_argument("--shared", type=Path, default=os.environ.get("VCLIP_SHARED"), help="folder of real data")
        if verb == "reopen":
            sub.add_argument("--made", type=Path, required=True, help="what `make` wrote for the other checkout")
    sub = verbs.add_parser("compare")
    sub.add_argument("before", type=Path)
    sub.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.verb == "make":
        make(options.checkout.resolve(), options.shared.resolve(), options.out.resolve())
    elif options.verb == "reopen":
        reopen(options.checkout.resolve(), options.made.resolve(), options.shared.resolve(), options.out.resolve())
    else:
        sys.exit(not compare(options.before, options.after))


def make(checkout: Path, shared: Path, out: Path) -> None:
    """Runs the whole way on real data with the code of one checkout."""
    out.mkdir(parents=True)
    data = shared / "data"
    (out / "videos.csv").write_text("\n".join(["file", *_column(data / "clips" / "clips.csv", "file", CLIPS)]))
    pairs = list(csv.DictReader((data / "pairs" / "pairs.csv").open()))[:PAIRS]
    with (out / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "identity", "gender", "face", "voice"], extrasaction="ignore")
        writer.writeheader()
        for row in pairs:
            paths = {name: data / "pairs" / row[name] for name in ("face", "voice")}
            writer.writerow(row | paths)
    offline = ("--config", checkout / "configs" / "offline.yaml")
    vclip = Vclip(checkout, out / "log.txt")
    vclip("ingest", out / "videos.csv", "--store", out / "store", *offline)
    vclip("import", "pairs", out / "pairs.csv", "--store", out / "pairs", *offline)
    vclip("train", "--store", out / "pairs", "--out", out / "model", *offline, *_set(TRAIN))
    vclip("fit-speakers", "--tts", "morph", "--out", out / "speakers", *offline)
    vclip("distill", "--speakers", out / "speakers", "--out", out / "speakers", *offline, *_set(DISTILL))
    _generate(vclip, out, shared, out / "speech", offline)


def reopen(checkout: Path, made: Path, shared: Path, out: Path) -> None:
    """Uses, with the code of one checkout, what another made; a command that fails ends this."""
    out.mkdir(parents=True)
    offline = ("--config", checkout / "configs" / "offline.yaml")
    vclip = Vclip(checkout, out / "log.txt")
    vclip("check", "--store", made / "store")
    vclip("stats", "--store", made / "store", "--out", out / "stats.html")
    vclip("ingest", made / "videos.csv", "--store", made / "store", *offline)  # knows them all
    vclip("evaluate", "--model", made / "model", "--store", made / "store", "--out", out / "evaluation")
    _generate(vclip, made, shared, out / "speech", offline)
    same = _same_speech(made, out)
    print("opened: the store, the model and the speakers of", made)
    sys.exit(not same)


def _generate(vclip: "Vclip", made: Path, shared: Path, out: Path, offline: tuple) -> None:
    faces = _column(shared / "data" / "pairs" / "pairs.csv", "face", 2)
    given = [part for face in faces for part in ("--face", face)]
    models = ("--model", made / "model", "--speakers", made / "speakers")
    vclip("generate", *given, "--text", TEXT, *models, "-k", 2, "--out", out, *offline)


class Vclip:
    """Runs commands with the code of one checkout."""

    def __init__(self, checkout: Path, log: Path):
        self._env = os.environ | {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
        self._cwd, self._log = log.parent, log

    def __call__(self, *arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        print("vclip", *words, flush=True)
        code = "import pipelines.cli as cli; (getattr(cli, 'main', None) or cli.app)()"
        with self._log.open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-c", code, *words], env=self._env, cwd=self._cwd, stdout=log, stderr=log
            )
        if done.returncode:
            sys.exit(f"vclip {words[0]} ended with {done.returncode}; see {self._log}")


def _set(keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        yield from ("--set", key)


def _column(table: Path, name: str, count: int) -> list[str]:
    with table.open() as file:
        return [str(table.parent / row[name]) for row in csv.DictReader(file)][:count]


def compare(before: Path, after: Path) -> bool:
    """Prints how two folders that `make` wrote differ; returns whether they are the same within the tolerances."""
    same = [_same_store(before / name, after / name) for name in ("store", "pairs")]
    same.append(_same_weights(before, after))
    same.append(_same_speech(before, after))
    print("SAME" if all(same) else "DIFFERENT")
    return all(same)


def _same_store(before: Path, after: Path) -> bool:
    from stores import Store

    same = True
    for table, key in (("clips", "clip_id"), ("faces", "face_id"), ("voices", "voice_id"), ("videos", "video_id")):
        rows = [
            {row[key]: row for row in Store.open(str(folder)).query(table).to_pylist()} for folder in (before, after)
        ]
        kinds = dict.fromkeys(("equal", "other"), 0)
        worst = 0.0
        ids = rows[0].keys() == rows[1].keys()
        for name in rows[0].keys() & rows[1].keys():
            for column in rows[0][name].keys() | rows[1][name].keys():
                a, b = rows[0][name].get(column), rows[1][name].get(column)
                if column in ("run_id", "created_at", "uris", "config_hash", "revision"):
                    continue
                if isinstance(a, list) and a and isinstance(a[0], float):
                    worst = max(worst, float(np.abs(np.subtract(a, b)).max()))
                else:
                    kinds["equal" if a == b or (a != a and b != b) else "other"] += 1
        ok = ids and not kinds["other"] and worst <= VECTOR_TOLERANCE
        print(
            f"{before.name}/{table}: {len(rows[0])} and {len(rows[1])} rows, ids {'equal' if ids else 'DIFFER'}; "
            f"{kinds['equal']} values equal, {kinds['other']} differ; vectors and boxes within {worst:.1e}"
        )
        same = same and ok
    return same


def _same_weights(before: Path, after: Path) -> bool:
    from safetensors.numpy import load_file

    figures = [json.loads((folder / "model" / "metrics.json").read_text()) for folder in (before, after)]
    print("model: dev AUC", *(figure.get("dev_auc", figure.get("auc")) for figure in figures))
    worst = 0.0
    for folder in ("model", "speakers"):
        for path in sorted((before / folder).rglob("*.safetensors")):
            a, b = load_file(path), load_file(after / path.relative_to(before))
            if a.keys() != b.keys():
                print(f"{path.relative_to(before)}: other tensors, {sorted(a.keys() ^ b.keys())}")
                return False
            worst = max([worst, *(float(np.abs(a[k].astype(float) - b[k].astype(float)).max(initial=0)) for k in a)])
    print(f"weights of model and speakers: within {worst:.1e}")
    return worst <= VECTOR_TOLERANCE


def _same_speech(before: Path, after: Path) -> bool:
    same = True
    names = [sorted(path.name for path in (folder / "speech").glob("*.wav")) for folder in (before, after)]
    print(f"speech: {len(names[0])} and {len(names[1])} files, names {'equal' if names[0] == names[1] else 'DIFFER'}")
    for a, b in zip(*names, strict=False):
        waves = [_samples(folder / "speech" / name) for folder, name in ((before, a), (after, b))]
        equal = waves[0].shape == waves[1].shape and (waves[0] == waves[1]).all()
        print(f"  {a}: {len(waves[0])} samples, {'equal' if equal else 'DIFFERENT'}")
        same = same and bool(equal)
    return same and bool(names[0]) and len(names[0]) == len(names[1])


def _samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


if __name__ == "__main__":
    main()
