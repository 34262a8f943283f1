"""Batch generation under repeated kills: is the result complete, and how much was synthesised twice?

    python benchmarks/generation.py --photos photos/ --model work/model --speakers work/speakers --folder /tmp/batch
        [--faces 20] [--texts 50] [--kills 3] [--store work/store] [--seed 0]

Takes the first photos of a folder, generates every text in one voice for each, and SIGKILLs the job `--kills` times,
each time at a random moment of the next part of the work. Then it checks the result: one line for each row, one WAV
file for each line, no other file, every file whole and with its own provenance, each row of the store once. The TTS
logs every call when it begins, so repeated synthesis is counted; a call that a kill interrupted counts as a whole
one. Prints JSON; exits with 1 if anything is missing, duplicated or torn, or if more than 2 % was synthesised twice.
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from pipelines.config import Config
from pipelines.generation.batch import RESULTS, generate_batch
from pipelines.generation.distill import SENTENCES
from stores import Store
from vclip.config import load
from vclip.errors import InputError
from vclip.marking.verify import verify
from vclip.tts import open_tts

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
MOST_TWICE = 0.02


class Noted:
    """A TTS that logs each call before it speaks."""

    def __init__(self, tts, journal):
        self._tts, self._journal = tts, journal
        self.name, self.space, self.dim = tts.name, tts.space, tts.dim
        self.sample_rate_hz, self.made_of, self.languages = tts.sample_rate_hz, tts.made_of, tts.languages

    def parts(self, text, speaker, language=""):
        with open(self._journal, "ab", buffering=0) as file:
            file.write(f"{os.getpid()} {json.dumps(text)}\n".encode())
        return self._tts.parts(text, speaker, language)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "model", "speakers", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--store", help="an existing one, to record the generations in")
    parser.add_argument("--faces", type=int, default=20)
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as of vclip")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        speak(args)
        return
    args.folder.mkdir(parents=True)  # a new one, so that nothing was there before
    write_manifest(args)
    started_s = time.monotonic()
    kills = run_and_kill(args)
    result = {"kills": kills, "took_s": time.monotonic() - started_s, **look(args)}
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["complete"] and result["few_twice"] else 1)


def write_manifest(args) -> None:
    photos = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in PICTURES)[: args.faces]
    texts = [" ".join(said) for n in (1, 2, 3) for said in itertools.permutations(SENTENCES, n)][: args.texts]
    rows = [{"face": str(photo.absolute()), "text": text} for photo in photos for text in texts]
    if len(rows) < args.faces * args.texts:
        raise InputError(f"found {len(photos)} photos and {len(texts)} texts, too few")
    (args.folder / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def speak(args) -> None:
    """The job, in the process that is killed."""
    journal, config = str(args.folder / "journal"), load(Config, None, args.set)
    generate_batch(
        str(args.folder / "jobs.jsonl"),
        args.model,
        args.speakers,
        str(args.folder / "out"),
        config,
        voices=1,
        store_uri=args.store,
        open_tts=lambda spec: Noted(open_tts(spec), journal),
    )


def run_and_kill(args) -> list[int]:
    """Starts the job until it ends by itself; returns the number of files at each kill."""
    chance, total, kills = random.Random(args.seed), args.faces * args.texts, []
    # Each kill falls somewhere in its own part of the work.
    parts = [total * (number + chance.uniform(0.2, 0.8)) / (args.kills + 1) for number in range(args.kills)]
    while True:
        job = subprocess.Popen([sys.executable, *sys.argv, "--job"])
        while job.poll() is None:
            if len(kills) < len(parts) and (there := files(args)) >= parts[len(kills)]:
                job.send_signal(signal.SIGKILL)
                kills.append(there)
            time.sleep(0.05)
        if job.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the job ended with {job.returncode}")
        if job.returncode == 0:
            return kills


def files(args) -> int:
    return sum(1 for _ in (args.folder / "out").rglob("*.wav"))


def look(args) -> dict:
    """Returns what is there, and whether it is complete and nothing else."""
    out, rows = args.folder / "out", args.faces * args.texts
    lines = [json.loads(line) for line in (out / RESULTS).read_text().splitlines()]
    wavs = {line["wav"] for line in lines if line["state"] == "done"}
    there = {str(path) for path in out.rglob("*") if path.is_file()} - {str(out / RESULTS)}
    torn = [wav for wav in wavs if _torn(wav)]
    calls = len((args.folder / "journal").read_text().splitlines())
    twice = (calls - len(wavs)) / len(wavs)
    found = {
        "rows": rows,
        "states": dict(Counter(line["state"] for line in lines)),
        "reasons": dict(Counter(line["reason"] for line in lines if line["reason"])),
        "wav_files": len(wavs),
        "strange_files": sorted(there - wavs - {wav.replace(".wav", ".json") for wav in wavs})[:5],
        "torn_files": torn[:5],
        "calls_of_the_tts": calls,
        "spoken_twice": twice,
        "speech_s": sum(line.get("seconds", 0.0) for line in lines),
    }
    recorded = True
    if args.store:
        ids = Store.open(args.store).query("generations", ["generation_id", "audio_uri"]).to_pylist()
        mine = [row["generation_id"] for row in ids if row["audio_uri"] in wavs]
        found["rows_in_store"] = len(mine)
        recorded = len(mine) == len(set(mine)) == len(wavs)
    complete = [line["row"] for line in lines] == list(range(1, rows + 1)) and found["states"] == {"done": rows}
    whole = not torn and not found["strange_files"] and len(there) == 2 * len(wavs)
    return found | {"complete": complete and whole and recorded, "few_twice": twice < MOST_TWICE}


def _torn(wav: str) -> bool:
    try:
        return bool(verify(wav).problems) or not Path(wav).with_suffix(".json").exists()
    except InputError:
        return True


if __name__ == "__main__":
    main()
