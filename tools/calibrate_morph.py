"""Makes the calibration of the `morph` voice: `python -m tools.calibrate_morph`.

Draws voices from the ranges of the controls, lets each speak, embeds the speech, fits the network that predicts
the embedding from the controls, and measures it on held-out voices and sentences. Only synthetic speech is involved.
Seven to nine draws a second on one core, so five minutes at the default size.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vclip.audio import prepare_speech
from vclip.encoders.ge2e import GE2E
from vclip.tts.morph import controls as morph_controls
from vclip.tts.morph import inverse_map
from vclip.tts.morph.base_voice import SAMPLE_RATE_HZ, BaseVoice
from vclip.tts.morph.controls import Controls, from_unit
from vclip.tts.morph.inverse_map import Calibration, MorphMap, VoiceModel, sobol
from vclip.tts.morph.synthesis import speak
from vclip.tts.sentences import whole

# Every phoneme that hibari knows more than once (but the flapped t), in statements, questions and a list.
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "She sells sea shells by the sea shore, and he reads nine books.",
    "We will meet again tomorrow morning in front of the old station.",
    "People often forget how much time they spend waiting for others.",
    "Please remember to close the window before you leave the house.",
    "Could you tell me where the nearest doctor lives?",
    "Nothing in the world is quite as good as fresh bread in the morning.",
    "He measured the length of the wall twice, then he cut the wood.",
    "Both of their voices were thin with joy, and the judge was amazed.",
    "A large vehicle turned around and vanished behind the garage.",
    "They bought pears, cheese, two fish and a small bag of sugar.",
    "Why should anyone argue about the weather in July?",
)
# Not among the above: two that the asked voice says, and two for the voice made after it.
ASKING = (
    "Children were playing football on the beach until the sun went down. "
    "I think that we should ask the captain which way the ship is going."
)
ANSWERING = (
    "Yesterday my neighbour showed us a photograph of his younger brother. "
    "Every visitor enjoys the view, though the path to the top is rough."
)
EPOCHS = 200
BATCH = 128
BATCH_VOICES = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the script."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.calibrate_morph", description="Makes the calibration of the morph voice."
    )
    parser.add_argument("--draws", type=int, default=2048, help="voices to fit on (default: 2048)")
    parser.add_argument("--held-out", type=int, default=256, help="voices to measure on (default: 256)")
    parser.add_argument("--sentences", type=int, default=2, choices=range(1, 9), help="per voice (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=inverse_map.HERE, help="folder to write to (default: the package)"
    )
    options = parser.parse_args(arguments)
    made = calibrate(options.draws, options.held_out, options.sentences, options.seed)
    inverse_map.save(made, options.out)
    for name, figure in made.calibration.figures.items():
        print(f"{name:>36}  {figure:.3f}")
    print(f"wrote {options.out / 'morph.safetensors'} and morph.json")


def calibrate(draws: int, held_out: int, sentences_per_draw: int, seed: int) -> MorphMap:
    """Returns a fitted map with its measured figures."""
    voice, encoder = BaseVoice(), GE2E("cpu")
    n_controls = len(morph_controls.NAMES)
    units = sobol(n_controls, seed).random_base2(int(np.ceil(np.log2(draws))))[:draws]
    tests = np.random.default_rng(seed).random((held_out, n_controls))
    spoken = _embed(voice, encoder, units, SENTENCES, sentences_per_draw, seed)
    print(f"fitting on {draws} voices", flush=True)
    model = _fit(units, spoken, seed)
    calibration = Calibration(
        space=encoder.space,
        hibari_version=version("hibari-tts"),
        hibari_sha256=voice.model_sha256,
        ranges=morph_controls.RANGES,
        draws=draws,
        sentences_per_draw=sentences_per_draw,
        seed=seed,
        figures={},
    )
    fitted = MorphMap(model, calibration)
    print(f"measuring on {held_out} others", flush=True)
    figures = _figures(fitted, voice, encoder, tests, spoken.mean(0))
    return MorphMap(model, replace(calibration, figures=figures))


def _embed(
    voice: BaseVoice, encoder: GE2E, units: np.ndarray, sentences: Sequence[str], per_draw: int, seed: int
) -> np.ndarray:
    """Returns (len(units), 256) float32: each voice says `per_draw` of the sentences."""
    rng = np.random.default_rng(seed)
    began_s, rows = time.monotonic(), []
    for batch in np.array_split(units, max(1, len(units) // BATCH_VOICES)):
        chosen = [" ".join(rng.choice(sentences, per_draw, replace=False)) for _ in batch]
        rows.append(_embed_spoken(voice, encoder, [from_unit(u) for u in batch], chosen))
        done = sum(map(len, rows))
        print(f"{done}/{len(units)} voices, {done / (time.monotonic() - began_s):.1f} a second", flush=True)
    return np.concatenate(rows)


def _embed_spoken(voice: BaseVoice, encoder: GE2E, controls: Sequence[Controls], texts: Sequence[str]) -> np.ndarray:
    spoken = (whole(speak(voice, text, c), SAMPLE_RATE_HZ) for text, c in zip(texts, controls, strict=True))
    return encoder.embed([prepare_speech(s, SAMPLE_RATE_HZ, encoder.sample_rate_hz) for s in spoken])


def _fit(units: np.ndarray, embeddings: np.ndarray, seed: int) -> VoiceModel:
    torch.manual_seed(seed)
    inputs, targets = torch.from_numpy(units).float(), torch.from_numpy(embeddings)
    model = VoiceModel(inputs.shape[1], targets.shape[1])
    with torch.no_grad():
        last = model.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(targets.mean(0))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = EPOCHS * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            # Normed but not yet rectified: a component that is zero here still has a gradient.
            predicted = nn.functional.normalize(model.layers(2 * inputs[rows] - 1), dim=1)
            optimizer.zero_grad()
            (predicted - targets[rows]).square().sum(1).mean().backward()
            optimizer.step()
            schedule.step()
    return model


def _figures(
    fitted: MorphMap, voice: BaseVoice, encoder: GE2E, units: np.ndarray, mean: np.ndarray
) -> dict[str, float]:
    """Returns metrics on held-out voices that speak held-out sentences.

    `predicted`: cosine of the network's prediction with the voice. `obtained`: cosine of the requested embedding with
    the voice made for it, which speaks other sentences. `centred`: after removing the mean of the morph voices, so
    that 0 is chance.
    """
    asked = _embed_spoken(voice, encoder, [from_unit(u) for u in units], [ASKING] * len(units))
    predicted = fitted.model(torch.from_numpy(units).float()).numpy()
    obtained = _embed_spoken(voice, encoder, [fitted.controls(e) for e in asked], [ANSWERING] * len(units))
    ranks = (obtained @ asked.T > np.sum(obtained * asked, axis=1)[:, None]).sum(1) + 1
    between = (asked @ asked.T)[np.triu_indices(len(asked), 1)]
    return {
        "predicted_cosine": _mean_cosine(predicted, asked),
        "predicted_cosine_centred": _mean_cosine(predicted - mean, asked - mean),
        "obtained_cosine": _mean_cosine(obtained, asked),
        "obtained_cosine_centred": _mean_cosine(obtained - mean, asked - mean),
        "asked_rank_median": float(np.median(ranks)),
        "asked_rank_1_share": round(float(np.mean(ranks == 1)), 4),
        **{f"between_voices_cosine_p{p}": round(float(np.percentile(between, p)), 4) for p in (10, 50, 90)},
    }


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    cosines = np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return round(float(cosines.mean()), 4)


if __name__ == "__main__":
    main()
