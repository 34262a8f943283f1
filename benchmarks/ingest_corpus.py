"""A video corpus for benchmarks: talking clips, shuffled, mirrored, cropped, attenuated, so that none repeats."""

import random
import subprocess
from pathlib import Path

import av

from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.progress import step

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 25
LENGTHS_S = (60.0, 180.0)


def make_corpus(clips: Path, folder: Path, seconds: float, seed: int = 0) -> list[Path]:
    """Returns files of one to three minutes with `seconds` of video in all; existing ones are reused.

    Args:
        clips: folder of short videos of people talking.
        folder: where the files go.
        seconds: of video.
        seed: of their order and their looks.
    """
    lengths = {path: _length_s(path) for path in sorted(clips.glob("*.mp4"))}
    plan, total_s = [], 0.0
    while total_s < seconds:
        rng = random.Random(f"{seed} {len(plan)}")
        wanted_s, parts = min(rng.uniform(*LENGTHS_S), seconds - total_s), []
        while sum(lengths[path] for path in parts) < wanted_s:
            parts.append(rng.choice(list(lengths)))
        plan.append((folder / f"{seed}_{len(plan):04d}_{round(wanted_s)}s.mp4", parts, wanted_s, rng))
        total_s += wanted_s
    folder.mkdir(parents=True, exist_ok=True)
    with step("make files", len(plan), "files") as progress:
        for path, parts, wanted_s, rng in plan:
            if not path.is_file():
                _write(path, parts, wanted_s, rng)
            progress.advance()
    return [path for path, *_ in plan]


def chain(files: list[Path], path: Path, seconds: float) -> Path:
    """Returns one long file: the given files repeated, without re-encoding."""
    if not path.is_file():
        rng, names, total_s = random.Random(str(path.name)), [], 0.0
        while total_s < seconds:
            names.append(rng.choice(files))
            total_s += _length_s(names[-1])
        listing = path.with_suffix(".txt")
        listing.write_text("".join(f"file '{name.absolute()}'\n" for name in names))
        _ffmpeg("-f", "concat", "-safe", "0", "-i", listing, "-t", f"{seconds:g}", "-c", "copy", path)
    return path


def _write(path: Path, parts: list[Path], seconds: float, rng: random.Random) -> None:
    inputs = [word for part in parts for word in ("-i", part)]
    graph = [line for i in range(len(parts)) for line in _looks(i, rng)]
    graph.append("".join(f"[v{i}][a{i}]" for i in range(len(parts))) + f"concat=n={len(parts)}:v=1:a=1[v][a]")
    output = ("-map", "[v]", "-map", "[a]", "-t", f"{seconds:g}", "-c:v", "libx264", "-preset", "veryfast")
    _ffmpeg(*inputs, "-filter_complex", ";".join(graph), *output, "-crf", "23", "-c:a", "aac", path)


def _looks(i: int, rng: random.Random) -> tuple[str, str]:
    keep, x, y = rng.uniform(0.9, 1), rng.random(), rng.random()
    crop = f"crop=iw*{keep:.3f}:ih*{keep:.3f}:(iw-ow)*{x:.3f}:(ih-oh)*{y:.3f}"
    fit = f"scale={WIDTH_PX}:{HEIGHT_PX}:force_original_aspect_ratio=decrease"
    pad = f"pad={WIDTH_PX}:{HEIGHT_PX}:(ow-iw)/2:(oh-ih)/2,setsar=1,fps={RATE_HZ},format=yuv420p"
    mirror = "hflip," if rng.random() < 0.5 else ""
    audio = f"volume={rng.uniform(0.6, 1.0):.3f},aresample=44100,aformat=sample_fmts=fltp:channel_layouts=stereo"
    return f"[{i}:v]{mirror}{crop},{fit},{pad}[v{i}]", f"[{i}:a]{audio}[a{i}]"


def _length_s(path: Path) -> float:
    with av.open(str(path)) as media:
        return media.duration / 1e6


def _ffmpeg(*arguments: str | Path) -> None:
    *words, path = map(str, arguments)
    part = f"{path}.part.mp4"
    subprocess.run([ffmpeg_binary(), "-nostdin", "-v", "error", "-y", *words, part], check=True)
    Path(part).rename(path)
