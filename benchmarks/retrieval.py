"""The time to find voices: scoring candidates for many faces, projecting them, and the guided search.

    python benchmarks/retrieval.py [--candidates 5000] [--faces 1000] [--speakers work/speakers --model work/model]

Scoring compares all faces with all candidates and takes the ten best of each; the target is at most three times the
bare matrix product in numpy. Projecting the candidates (signature, then phi_v) is needed once for any number of faces
and is reported separately. Without folders the models have random weights, which take as long. Prints JSON; each time
is the median of several runs, in milliseconds.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vclip.association.methods import load as load_association
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.signature import SignatureConfig, TTSSignature
from vclip.speakers.voice_search import Search, SearchConfig, expected_voices, top_k

DIM, D_FACE, SPACE = 256, 128, "voices"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=5000)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--speakers", type=Path)
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    generator, signature = _speakers(args.speakers)
    model = load_association(args.model, args.device) if args.model else _model().to(args.device)
    signature = signature.to(args.device)
    drawn = generator.sample(args.candidates)
    voices = model.embed_voices(expected_voices(drawn, generator.space, model, signature))
    faces = model.embed_faces(np.random.default_rng(0).normal(size=(args.faces, D_FACE)).astype(np.float32))

    def ms(work: Callable[[], object]) -> float:
        work()
        took = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            work()
            took.append(time.perf_counter() - start)
        return round(1000 * float(np.median(took)), 2)

    product = ms(lambda: faces @ voices.T)
    scoring = ms(lambda: top_k(faces, voices, args.k, args.device))
    result = {
        "candidates": args.candidates,
        "faces": args.faces,
        "k": args.k,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "matrix_product_ms": product,
        "scoring_with_top_k_ms": scoring,
        "ratio": round(scoring / product, 2),
        "drawing_ms": ms(lambda: generator.sample(args.candidates)),
        "signature_ms": ms(lambda: signature.predict(drawn)),
        "projecting_ms": ms(lambda: model.embed_voices(drawn)),
    }
    for score in ("informed", "guided"):
        settings = SearchConfig(score=score, candidates=args.candidates)
        for k in (1, 3):
            result[f"{score}_one_face_{k}_voices_ms"] = ms(
                lambda: Search(model, generator, signature, settings).find(faces[:1], k)  # noqa: B023
            )
    print(json.dumps(result, indent=2))


def _speakers(folder: Path | None) -> tuple[SpeakerGenerator, TTSSignature]:
    if folder:
        return SpeakerGenerator.load(folder / "generator"), TTSSignature.load(folder / "signature")
    vectors = np.random.default_rng(0).random((261, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bank = SpeakerBank(SPACE, np.arange(261).astype(str), vectors, np.full(261, ""))
    shape = SignatureConfig()
    return fit_generator(bank)[0], TTSSignature("random", SPACE, SPACE, DIM, DIM, shape.hidden, shape.dropout)


def _model() -> AssociationModel:
    return AssociationModel("faces", SPACE, D_FACE, DIM, AssociationConfig())


if __name__ == "__main__":
    main()
