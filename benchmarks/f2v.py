"""f2v: do chosen voices suit a face better than voices drawn at random, in the eyes of another model?

    python benchmarks/f2v.py --store work/pairs --speakers work/speakers [--max-similarity 0.9] [--seed 0]

The store's people are split in three: one third trains the model that chooses, another the evaluator, and the faces
are of the last. For each face the same number of voices is chosen by the informed score, by the naive one, and drawn
at random; all are spoken by the TTS, embedded again and judged by the evaluator. Prints JSON.
"""

import argparse
import json

import numpy as np

import vclip
from pipelines.config import Config, GenerateConfig
from pipelines.generation.voices import choose_voices
from pipelines.speakers import SENTENCES, load_speakers, mean_voice
from pipelines.train import read_pairs
from stores import Store
from vclip.encoders import spec_of_space
from vclip.speakers.metrics import f2v, likelihood_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--speakers", required=True)
    parser.add_argument("--faces", type=int, default=20)
    parser.add_argument("--voices", type=int, default=3)
    parser.add_argument("--max-similarity", type=float, default=GenerateConfig().max_similarity)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    store, config = Store.open(args.store), Config(generate=GenerateConfig(max_similarity=args.max_similarity))
    pairs = read_pairs(store)
    third = pairs.folds(3, args.seed)
    spaces = (store.face_space, store.voice_space)
    settings = config.train.model_copy(update={"seed": args.seed})
    model, _ = vclip.train(pairs.select(third == 0), *spaces, settings)
    evaluator, _ = vclip.train(pairs.select(third == 1), *spaces, settings)
    judged = pairs.select(third == 2)
    faces = judged.faces[np.random.default_rng(args.seed).permutation(len(judged.faces))[: args.faces]]
    generator, signature = load_speakers(args.speakers, "informed")
    tts, listener = vclip.open_tts(config.generate.tts), vclip.open_voice_encoder(spec_of_space(spaces[1]))
    drawn = generator.sample(args.faces * args.voices, args.seed + 1).reshape(args.faces, args.voices, -1)
    chosen = {
        "informed": choose_voices(faces, model, generator, signature, config, args.voices),
        "naive": choose_voices(faces, model, generator, None, config, args.voices),
    }
    speakers = {name: np.array([[v.speaker for v in row] for row in rows]) for name, rows in chosen.items()}
    prior = likelihood_model(generator.bank)
    result = {}
    for name, vectors in {**speakers, "random": drawn}.items():
        spoken = np.array([[mean_voice(tts, listener, v, SENTENCES[:1]) for v in row] for row in vectors])
        spoken /= np.linalg.norm(spoken, axis=2, keepdims=True)
        values = f2v(evaluator, np.repeat(faces, args.voices, axis=0), spoken.reshape(-1, spoken.shape[2]))
        alike = np.einsum("fid,fjd->fij", spoken, spoken)[:, *np.triu_indices(args.voices, 1)]
        result[name] = {
            "f2v": float(values.mean()),
            "f2v_standard_error": float(values.reshape(args.faces, -1).mean(1).std() / np.sqrt(args.faces)),
            "pairwise_cosine_mean": float(alike.mean()),
            "pairwise_cosine_max": float(alike.max()),
            "log_likelihood": float(prior.log_likelihood(vectors.reshape(-1, vectors.shape[2])).mean()),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
