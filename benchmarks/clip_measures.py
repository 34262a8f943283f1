"""How well the audio-visual offset of clips and the bandwidth of speech are measured, against what ffmpeg made.

    python benchmarks/clip_measures.py offset VIDEO... [--shifts -0.2 -0.12 0 0.12 0.2]
    python benchmarks/clip_measures.py bandwidth AUDIO... [--noise-db 10]

`offset` shifts the audio of each video and extracts it. The offset of a clip is compared with the shift, as if the
video were in sync, and with the shift plus the offset of the same video where its audio is not shifted. `bandwidth`
measures recordings of 16 kHz as they are and with noise, and after telephone codecs, up to 6 s of each.
"""

import argparse
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from pipelines.extraction import ExtractionConfig, extract
from pipelines.extraction.speech.bandwidth import bandwidth_hz
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.progress import step
from vclip.audio import read_audio, resample

TOLERANCE_S = 0.0401
CONFIDENCES = (0.0, 0.5, 0.8, 0.9, 0.95)
TELEPHONE_HZ, RATE_HZ, LONGEST_S = 5000, 16_000, 6
# name -> (ffmpeg's filters, encoder and container) of 8 kHz audio
CODECS = {
    "8 kHz": (["-c:a", "pcm_s16le"], "wav"),
    "8 kHz, 300-3400 Hz": (["-af", "highpass=300:p=2,lowpass=3400:p=2", "-c:a", "pcm_s16le"], "wav"),
    "G.711": (["-c:a", "pcm_mulaw"], "wav"),
    "AMR 12.2 kbit/s": (["-c:a", "libopencore_amrnb", "-b:a", "12.2k"], "amr"),
    "AMR 4.75 kbit/s": (["-c:a", "libopencore_amrnb", "-b:a", "4.75k"], "amr"),
    "Opus 8 kbit/s": (["-c:a", "libopus", "-b:a", "8k", "-application", "voip"], "ogg"),
}


def ffmpeg(*arguments):
    command = [ffmpeg_binary(ExtractionConfig().media.ffmpeg), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def offset(videos, shifts):
    """Prints the share of clips whose offset is right, by confidence."""
    rows = []  # shift, offset, offset without shift or NaN, confidence
    with tempfile.TemporaryDirectory() as folder, step("extract", len(videos) * (1 + len(shifts))) as progress:
        for video in videos:
            found = {}
            for shift_s in sorted({0.0, *shifts}, key=abs):
                path = Path(folder) / "shifted.mkv"
                inputs = ["-i", video, "-itsoffset", shift_s, "-i", video, "-map", "0:v:0", "-map", "1:a:0"]
                ffmpeg(*inputs, "-c", "copy", path)
                found[shift_s] = extract(path).clips
                progress.advance()
            # Where the audio is early, second 0 of the clock is that of the audio.
            own = [(clip.start_s, clip.measures.av_offset_s) for clip in found[0.0]]
            for shift_s in shifts:
                for clip in found[shift_s]:
                    start_s = clip.start_s + min(shift_s, 0)
                    near = min(own, key=lambda one: abs(one[0] - start_s), default=(np.inf, np.nan))
                    before = near[1] if abs(near[0] - start_s) < 0.5 else np.nan
                    rows.append((shift_s, clip.measures.av_offset_s, before, clip.measures.av_confidence))
    shift, measured, before, confidence = np.array(rows).T
    known = ~np.isnan(before)
    absolute, relative = abs(measured - shift) <= TOLERANCE_S, abs(measured - before - shift) <= TOLERANCE_S
    print(f"{len(rows)} clips of {len(videos)} videos; {known.sum()} of them were clips before the shift too")
    for least in CONFIDENCES:
        sure = confidence >= least
        share, own = absolute[sure].mean(), relative[sure & known].mean()
        print(
            f"confidence >= {least:.2f}: {sure.mean():.2f} of the clips; within 0.04 s of the shift {share:.3f}, "
            f"of the shift and the video's own offset {own:.3f}"
        )


def bandwidth(files, noise_db):
    """Prints the share of recordings that are told from, or known as, telephone speech."""
    rng, found = np.random.default_rng(0), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, step("measure", len(files)) as progress:
        for file in files:
            clean = resample(*read_audio(str(file)), RATE_HZ)[: LONGEST_S * RATE_HZ]
            noise = rng.standard_normal(len(clean)) * np.sqrt(np.mean(clean**2)) / 10 ** (noise_db / 20)
            for noisy, samples in (("", clean), (f" with noise at {noise_db:g} dB", clean + noise)):
                pcm = np.round(samples / np.abs(samples).max() * 16_000).astype(np.int16)
                found[f"16 kHz{noisy}"].append(bandwidth_hz(pcm) or np.nan)
                soundfile.write(Path(folder) / "wide.wav", pcm, RATE_HZ)
                for name, (options, suffix) in CODECS.items():
                    narrow = Path(folder) / f"narrow.{suffix}"
                    ffmpeg("-i", Path(folder) / "wide.wav", "-ar", 8000, *options, narrow)
                    ffmpeg("-i", narrow, "-ar", RATE_HZ, Path(folder) / "again.wav")
                    again, _ = soundfile.read(Path(folder) / "again.wav", dtype="int16")
                    found[name + noisy].append(bandwidth_hz(again) or np.nan)
            progress.advance()
    for name, values in found.items():
        known = np.array(values) >= TELEPHONE_HZ if name.startswith("16") else np.array(values) < TELEPHONE_HZ
        spread = ", ".join(f"{value:,.0f}" for value in np.percentile(values, (5, 50, 95)))
        print(f"{name:42s} right {known.mean():.3f} of {len(values)}; 5th, 50th and 95th percentile {spread} Hz")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("offset", "bandwidth"))
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--shifts", type=float, nargs="+", default=[-0.2, -0.12, 0.0, 0.12, 0.2])
    parser.add_argument("--noise-db", type=float, default=10.0)
    given = parser.parse_args()
    if given.what == "offset":
        offset(given.files, given.shifts)
    else:
        bandwidth(given.files, given.noise_db)


if __name__ == "__main__":
    main()
