"""Makes the calibration of the `kokoro` voice: `python -m tools.calibrate_kokoro --packs kokoro-js-1.2.1.tgz`.

Kokoro's voice packs come from the npm package kokoro-js: registry.npmjs.org/kokoro-js/-/kokoro-js-1.2.1.tgz. Their
principal components are the styles. Draws styles, lets each speak a sentence, changes tract and colour of the speech
several times and embeds it, fits the networks that predict the embedding from the controls, and measures them on
held-out draws. Only synthetic speech is involved: the linear map from an embedding to the pitch is fitted on these
draws and on known speakers of `morph`, whose pitch depends on the gender as people's does.

One draw a second on one core. Draws are kept in files of CHUNK, so a stopped run continues where it was.
"""

import argparse
import hashlib
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hibari import Hibari
from scipy.stats import norm
from torch import nn

from vclip.audio import prepare_speech
from vclip.encoders.ge2e import GE2E
from vclip.tts.inverse_map import Committee, VoiceModel, sobol
from vclip.tts.kokoro import controls as kokoro_controls
from vclip.tts.kokoro import graph, inverse_map
from vclip.tts.kokoro.controls import N_COLOUR, N_PROSODY, N_TIMBRE, PITCH, TRACT, Controls
from vclip.tts.kokoro.inverse_map import Calibration, Fitted, KokoroMap
from vclip.tts.kokoro.synthesis import ROW_PHONEMES, SAMPLE_RATE_HZ, Styles, render, say, shaped
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import known_speakers as morph_speakers
from vclip.tts.morph.synthesis import MEAN_PITCH_HZ as MORPH_PITCH_HZ

SENTENCES = (
    "She never came back home that night.",
    "We should leave the house before noon.",
    "He bought some fresh bread and cheese.",
    "They found a small key under the mat.",
    "Nobody knew the right answer to that.",
    "I will call you again tomorrow.",
    "The train was late again this morning.",
    "Please close the big window for me.",
    "My brother likes green apples and pears.",
    "It rained for seven long days.",
    "You can hear the ocean from here.",
    "A brown dog ran across the road.",
    "That old song makes me very happy.",
    "Both of them were tired and hungry.",
    "Could you tell me where he lives?",
    "The judge was amazed by their vision.",
    "Three thin boys shook hands with joy.",
    "What should we do about the weather?",
    "The garage was measured in July.",
    "She sells sea shells by the shore.",
    "People forget how much time they spend.",
    "Why should anyone argue about it?",
    "A large vehicle turned around quickly.",
    "He read nine books in a month.",
)
# Not among the above: what a voice of morph says, and what the voice of kokoro made after it says.
ASKING = "Children were playing football on the beach until the sun went down."
ANSWERING = "Yesterday my neighbour showed us a photograph of his younger brother."

# Decoder halves of other languages than English lose words, but for three; af_nicole whispers.
FOREIGN_TIMBRES = ("hm_omega", "im_nicola", "jm_kumo")
WHISPERING = "af_nicole"
PACK_ROWS, PACK_DIM = 510, 256
USUAL_ROWS = slice(2, 13)  # of sentences of 20 to 120 phonemes: components are chosen on their mean

CHUNK = 32
VARIANTS = 8
# A style is drawn as frequently as the packs are, and spoken at its own pitch times a factor; other controls evenly.
STYLE_LIMIT = 2.2
PITCH_FACTORS, PITCHES_HZ = (0.62, 1.5), (80.0, 275.0)
PITCH_RANGES, TEMPI = (0.6, 1.5), (0.88, 1.15)
MORPH_SPEAKERS = 4000
PITCH_RIDGE = 1.0

MEMBERS = 3
EPOCHS = 30
BATCH = 128
HELD_OUT_EVERY = 8
ASKED = 48


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the script."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.calibrate_kokoro", description="Makes the calibration of the kokoro voice."
    )
    parser.add_argument("--packs", type=Path, required=True, help="kokoro-js-1.2.1.tgz of npm")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the draws")
    parser.add_argument("--draws", type=int, default=2048, help="styles to speak (default: 2048)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=inverse_map.HERE, help="folder to write to (default: the package)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    packs = read_packs(options.packs)
    fitted = components(packs)
    own_pitch = options.work / "own_pitch.npy"
    if not own_pitch.exists():
        np.save(own_pitch, fit_own_pitch(fitted.styles))
    fitted = replace(fitted, own_pitch=np.load(own_pitch).astype(np.float32))
    units, embeddings = draw(fitted, options.work, options.draws, options.processes, options.seed)
    made = fit(fitted, packs, units, embeddings, options.seed)
    inverse_map.save(made, options.out)
    for name, figure in made.calibration.figures.items():
        print(f"{name:>36}  {figure:.3f}")
    print(f"wrote {options.out / 'kokoro.safetensors'} and kokoro.json")


def read_packs(tarball: Path) -> dict[str, np.ndarray]:
    """Returns the voice packs (510, 256) float32 in a tarball of kokoro-js, by name."""
    packs = {}
    with tarfile.open(tarball) as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            if path.suffix == ".bin" and path.parent.name == "voices":
                file = archive.extractfile(member)
                assert file is not None
                packs[path.stem] = np.frombuffer(file.read(), "<f4").reshape(PACK_ROWS, PACK_DIM)
    return dict(sorted(packs.items()))


def components(packs: Mapping[str, np.ndarray]) -> Fitted:
    """Returns the styles: means and principal components of the two halves of the packs that speak English well."""
    english = [name for name in packs if name[0] in "ab"]
    timbre = [packs[name][::ROW_PHONEMES, :128] for name in (*english, *sorted(FOREIGN_TIMBRES))]
    prosody = [packs[name][::ROW_PHONEMES, 128:] for name in english if name != WHISPERING]
    timbre_styles, timbre_places = _principal(np.stack(timbre), N_TIMBRE)
    prosody_styles, prosody_places = _principal(np.stack(prosody), N_PROSODY)
    nothing = np.zeros(0, np.float32)
    return Fitted(Styles(timbre_styles, prosody_styles), timbre_places, prosody_places, nothing, nothing)


def _principal(halves: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (rows, 1 + count, 128), the mean and the steps of one standard deviation, and the packs' places."""
    usual = halves[:, USUAL_ROWS].mean(1)
    left, _, right = np.linalg.svd(usual - usual.mean(0), full_matrices=False)
    left *= np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])  # a sign that no other library changes
    places = left[:, :count] * np.sqrt(len(halves) - 1)
    mean = halves.mean(0)
    # A step along a component is a weighted sum of the packs, also for lengths whose styles differ from the usual.
    steps = np.einsum("pk,prd->rkd", places / (len(halves) - 1), halves - mean)
    styles = np.concatenate([mean[:, None], steps], axis=1).astype(np.float16)  # as it ships
    return styles.astype(np.float32), places.astype(np.float32)


def fit_own_pitch(styles: Styles) -> np.ndarray:
    """Returns the linear map (1 + N_PROSODY,) from prosody to the log pitch that the network gives by itself."""
    reader = Hibari()
    ids = [reader.ids(reader.phonemize(SENTENCES[number])[0]) for number in (0, 3)]
    drawn = np.random.default_rng(0).standard_normal((40, N_PROSODY)).clip(-STYLE_LIMIT, STYLE_LIMIT)
    drawn[0] = 0
    pitch = []
    for prosody in drawn:
        controls = Controls(prosody=tuple(prosody))
        spoken = [
            say(sentence, styles.style(controls, len(sentence) - 2), speed=1.3, pitch_hz=150, pitch_range=1)
            for sentence in ids
        ]
        pitch.append(np.mean([own_log_pitch for _, own_log_pitch in spoken]))
    return np.linalg.lstsq(np.c_[np.ones(len(drawn)), drawn], pitch, rcond=None)[0]


def draw(fitted: Fitted, work: Path, draws: int, processes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns controls (draws, VARIANTS, n_controls) on the unit cube and their embeddings (draws, VARIANTS, 256).

    Missing files of `work` are made first.
    """
    firsts = range(0, draws, CHUNK)
    missing = [first for first in firsts if not _file(work, first).exists()]
    began_s = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        for done, _ in enumerate(pool.map(partial(_draw_chunk, fitted, work, seed), missing), 1):
            rate = done * CHUNK / (time.monotonic() - began_s)
            print(f"{done}/{len(missing)} files of {CHUNK} draws, {rate:.1f} draws a second", flush=True)
    read = [np.load(_file(work, first)) for first in firsts]
    units, embeddings = (np.concatenate([file[name] for file in read])[:draws] for name in ("units", "embeddings"))
    return units.astype(np.float32), embeddings.astype(np.float32)


def _file(work: Path, first: int) -> Path:
    return work / f"draws-{first:06d}.npz"


def _draw_chunk(fitted: Fitted, work: Path, seed: int, first: int) -> None:
    torch.set_num_threads(1)
    reader, encoder = Hibari(), GE2E("cpu")
    ids = [reader.ids(reader.phonemize(sentence)[0]) for sentence in SENTENCES]
    points = sobol(N_TIMBRE + N_PROSODY + 3, seed)
    points.fast_forward(first)
    units, embeddings = zip(
        *(_speak(fitted, ids, encoder, point, first + i) for i, point in enumerate(points.random(CHUNK))), strict=True
    )
    partial_file = work / f"partial-{first:06d}.npz"
    np.savez(partial_file, units=np.array(units), embeddings=np.array(embeddings))
    partial_file.replace(_file(work, first))


def _speak(
    fitted: Fitted, ids: Sequence[list[int]], encoder: GE2E, point: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the controls (VARIANTS, n_controls) on the unit cube of one drawn style, and their embeddings."""
    low, high = kokoro_controls.bounds()
    rng = np.random.default_rng(number)
    style = norm.ppf(point[:-3].clip(1e-4, 1 - 1e-4)).clip(-STYLE_LIMIT, STYLE_LIMIT)
    timbre, prosody = style[:N_TIMBRE], style[N_TIMBRE:]
    factor, pitch_range, tempo = (
        np.log(limits[0]) + share * np.log(limits[1] / limits[0])
        for share, limits in zip(point[-3:], (PITCH_FACTORS, PITCH_RANGES, TEMPI), strict=True)
    )
    pitch = np.clip(fitted.own_pitch[0] + prosody @ fitted.own_pitch[1:] + factor, *np.log(PITCHES_HZ))
    sentence = ids[rng.integers(len(ids))]
    samples, _ = say(
        sentence,
        fitted.styles.style(Controls(timbre=tuple(timbre), prosody=tuple(prosody)), len(sentence) - 2),
        speed=np.exp(tempo),
        pitch_hz=np.exp(pitch),
        pitch_range=np.exp(pitch_range),
    )
    values, spoken = [], []
    for _ in range(VARIANTS):
        tract = np.clip(rng.uniform(low[TRACT], high[TRACT]), low[PITCH] - pitch, high[PITCH] - pitch)
        colour_db = rng.uniform(low[-N_COLOUR:], high[-N_COLOUR:])
        shape = shaped(samples, float(np.exp(tract)), tuple(colour_db))
        spoken.append(prepare_speech(shape, SAMPLE_RATE_HZ, encoder.sample_rate_hz))
        values.append([*style, pitch + tract, pitch_range, tract, tempo + tract, *colour_db])
    return (np.array(values) - low) / (high - low), encoder.embed(spoken)


def fit(
    fitted: Fitted, packs: Mapping[str, np.ndarray], units: np.ndarray, embeddings: np.ndarray, seed: int
) -> KokoroMap:
    """Returns a map fitted on all draws, with the figures of one fitted on all but every HELD_OUT_EVERY-th draw."""
    held_out = np.arange(len(units)) % HELD_OUT_EVERY == 0
    calibration = Calibration(
        space=GE2E.space,
        weights_sha256=graph.SHA256,
        packs_sha256=hashlib.sha256(b"".join(packs.values())).hexdigest(),
        timbre_packs=[*(name for name in packs if name[0] in "ab"), *sorted(FOREIGN_TIMBRES)],
        prosody_packs=[name for name in packs if name[0] in "ab" and name != WHISPERING],
        ranges=kokoro_controls.RANGES,
        draws=len(units),
        variants_per_draw=VARIANTS,
        seed=seed,
        figures={},
    )
    trial = _fitted(fitted, calibration, units[~held_out], embeddings[~held_out], seed)
    figures = _held_out_figures(trial, units[held_out], embeddings[held_out], embeddings[~held_out])
    made = _fitted(fitted, calibration, units, embeddings, seed)
    return KokoroMap(made.model, made.fitted, replace(calibration, figures=figures | _obtained_figures(made)))


def _fitted(
    fitted: Fitted, calibration: Calibration, units: np.ndarray, embeddings: np.ndarray, seed: int
) -> KokoroMap:
    inputs, targets = (torch.from_numpy(a.reshape(-1, a.shape[-1])) for a in (units, embeddings))
    models = [_fit_model(inputs, targets, seed + member) for member in range(MEMBERS)]
    pitch = _fit_pitch(embeddings, _log_pitch(units))
    made = KokoroMap(Committee(models), replace(fitted, pitch=pitch), calibration)
    made.model.half().float()  # as it ships
    return KokoroMap(made.model, made.fitted, calibration)


def _fit_model(inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> VoiceModel:
    torch.manual_seed(seed)
    model = VoiceModel(inputs.shape[1], targets.shape[1])
    with torch.no_grad():
        last = model.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(targets.mean(0))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
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


def _log_pitch(units: np.ndarray) -> np.ndarray:
    low, high = kokoro_controls.bounds()
    return low[PITCH] + units[..., PITCH] * (high[PITCH] - low[PITCH])


def _fit_pitch(embeddings: np.ndarray, log_pitch: np.ndarray) -> np.ndarray:
    """Returns the linear map (dim + 1,) from an embedding to log pitch, by ridge regression."""
    controls, _ = morph_speakers(MORPH_SPEAKERS)
    morph = Morph().known_speakers(MORPH_SPEAKERS).vectors
    inputs = np.concatenate([embeddings.reshape(-1, embeddings.shape[-1]), morph]).astype(np.float64)
    outputs = np.concatenate([log_pitch.ravel(), [np.log(MORPH_PITCH_HZ * c.pitch) for c in controls]])
    mean, middle = inputs.mean(0), outputs.mean()
    centred = inputs - mean
    slope = np.linalg.solve(
        centred.T @ centred + PITCH_RIDGE * np.eye(inputs.shape[1]), centred.T @ (outputs - middle)
    )
    return np.append(slope, middle - mean @ slope).astype(np.float32)


def _held_out_figures(
    trial: KokoroMap, units: np.ndarray, embeddings: np.ndarray, others: np.ndarray
) -> dict[str, float]:
    """Returns metrics on held-out draws; `centred`: after removing the mean of the draws, so that 0 is chance."""
    mean = others.mean((0, 1))
    predicted = trial.model(torch.from_numpy(units)).numpy()
    log_pitch = embeddings @ trial.fitted.pitch[:-1] + trial.fitted.pitch[-1]
    return {
        "predicted_cosine": _mean_cosine(predicted, embeddings),
        "predicted_cosine_centred": _mean_cosine(predicted - mean, embeddings - mean),
        "log_pitch_correlation": round(float(np.corrcoef(log_pitch.ravel(), _log_pitch(units).ravel())[0, 1]), 4),
    }


def _obtained_figures(made: KokoroMap) -> dict[str, float]:
    """Returns the cosine and the pitch of voices made after voices of `morph`, which no network was fitted on."""
    morph, reader, encoder = Morph(), Hibari(), GE2E("cpu")
    controls, _ = morph_speakers(ASKED, seed=1)
    answer = reader.ids(reader.phonemize(ANSWERING)[0])
    asked = encoder.embed([prepare_speech(morph.speak(ASKING, c), SAMPLE_RATE_HZ) for c in controls])
    chosen = [made.controls(embedding) for embedding in asked]
    spoken = [prepare_speech(render(answer, made.fitted.styles, c), SAMPLE_RATE_HZ) for c in chosen]
    obtained = encoder.embed(spoken)
    log_pitch = np.log([[c.pitch for c in controls], [c.pitch_hz for c in chosen]])
    return {
        "obtained_cosine": _mean_cosine(obtained, asked),
        "obtained_log_pitch_correlation": round(float(np.corrcoef(log_pitch)[0, 1]), 4),
        "between_voices_cosine": round(float((obtained @ obtained.T)[np.triu_indices(ASKED, 1)].mean()), 4),
    }


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    cosines = np.sum(a * b, axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return round(float(cosines.mean()), 4)


if __name__ == "__main__":
    main()
