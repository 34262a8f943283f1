"""A batch in kept voices under kills: are the files those of an undisturbed run, to the bit?

    python benchmarks/kept_voices.py --folder /tmp/kept [--voices 20] [--rows 200] [--kills 2] [--tts morph]

Makes voices of known speakers of the TTS, half of them in a folder under names and half as files, and speaks the rows
of a manifest in them: once undisturbed, and once with SIGKILLs at random moments of the work. Then it compares the
samples of every WAV file, and every sidecar. Prints JSON; exits with 1 if a file is missing, differs or is too many.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

from pipelines.generation.batch import RESULTS
from pipelines.generation.distill import SENTENCES
from vclip.speakers.voice import Voice
from vclip.tts import TTS, open_tts

POLL_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tts", default="morph")
    for name, default in {"voices": 20, "rows": 200, "kills": 2, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    names = make_voices(open_tts(given.tts), given.voices, given.folder)
    rows = [
        {"voice": names[row % len(names)], "text": f"{SENTENCES[row % len(SENTENCES)]} Number {row}."}
        for row in range(given.rows)
    ]
    manifest = given.folder / "jobs.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole, killed = given.folder / "whole", given.folder / "killed"
    started_s = time.monotonic()
    run(manifest, whole)
    took_s = time.monotonic() - started_s
    rng, moments = random.Random(given.seed), []
    for kill in range(given.kills):
        after = int(given.rows * (kill + rng.random()) / given.kills)
        moments.append(run(manifest, killed, after))
    run(manifest, killed)
    expected, found = files(whole), files(killed)
    different = sorted(name for name in expected if found.get(name) != expected[name])
    result = {
        "rows": given.rows,
        "voices": len(names),
        "files": len(expected),
        "killed_after_files": moments,
        "different": different,
        "too_many": sorted(found.keys() - expected.keys()),
        "undisturbed_s": round(took_s, 1),
    }
    print(json.dumps(result))
    sys.exit(bool(different or result["too_many"] or len(expected) != 2 * given.rows + 1))


def make_voices(tts: TTS, count: int, folder: Path) -> list[str]:
    """Returns what rows call the voices of known speakers of a TTS: names, and paths of voice files."""
    made = {"tts": {"name": tts.name, **tts.made_of}}
    about = {
        "nearest_known_cosine": 0.5,
        "known_similarity_limit": 0.8,
        "models": made,
        "generate": {"tts": tts.name},
    }
    names = []
    for number, speaker in enumerate(tts.known_speakers(count).vectors):
        voice = Voice(speaker, tts.space, tts.name, about, f"voice {number}")
        place = "voices" if number % 2 else "files"
        voice.save(folder / place / f"{number}.safetensors")
        names.append(voice.name if number % 2 else f"files/{number}.safetensors")
    return names


def run(manifest: Path, out: Path, kill_after: int | None = None) -> int:
    """Speaks the manifest, or kills the job once this many WAV files are there; returns their number then."""
    options = ["--voices-from", manifest.parent / "voices", "--out", out, "--json"]
    command = [sys.executable, "-m", "pipelines.cli", "generate", "--manifest", manifest, *options]
    with open(manifest.parent / "log", "a") as log:
        job = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True)
        while job.poll() is None:
            written = len(list(out.rglob("*.wav")))
            if kill_after is not None and written >= kill_after:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
                return written
            time.sleep(POLL_S)
    if job.returncode:
        raise SystemExit(f"the job failed: see {manifest.parent / 'log'}")
    return len(list(out.rglob("*.wav")))


def files(out: Path) -> dict[str, bytes]:
    """Returns what every file below a folder holds: of a WAV file the samples, because a signature holds the time;
    of the results without the folder's own name."""
    found = {str(path.relative_to(out)): content(path) for path in out.rglob("*") if path.is_file()}
    return found | {RESULTS: found[RESULTS].replace(str(out).encode(), b"")}


def content(path: Path) -> bytes:
    """Returns the samples of a WAV file, or all of another file."""
    if path.suffix != ".wav":
        return path.read_bytes()
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


if __name__ == "__main__":
    main()
