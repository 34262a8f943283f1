"""Makes the figures of the documentation from the project's own sample corpus; nobody real is in them.

python docs/figures.py inspect    # docs/images/inspect.jpg
python docs/figures.py report     # docs/images/report.png; needs chromium
python docs/figures.py browse     # docs/images/browse.png and browse_phone.png; needs chromium
python docs/figures.py stats      # docs/images/stats.png; likewise
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.quickstart.sample import make_sample

IMAGES = Path(__file__).parent / "images"
OFFLINE = Path(__file__).parents[1] / "configs" / "offline.yaml"
PEOPLE = 16


def inspect(folder: Path) -> None:
    """Two people in view of whom one speaks, then the other, and a voice over a still in the end."""
    video = _conversation(folder, folder / "conversation.mp4")
    _run("vclip", "inspect", video, "--sheet", IMAGES / "inspect.jpg")


def _conversation(folder: Path, video: Path) -> Path:
    make_sample(folder, people=6)
    names = ("000_speaking", "006_silent", "007_silent", "002_speaking", "008_voice_over")
    inputs = [part for name in names for part in ("-t", "5", "-i", str(folder / f"{name}.mp4"))]
    graph = (
        "[0:v][1:v]hstack=shortest=1[a];[2:v][3:v]hstack=shortest=1[b];[4:v]pad=640:320:160:0[c];"
        "[a][0:a][b][3:a][c][4:a]concat=n=3:v=1:a=1[v][s]"
    )
    _ffmpeg(*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[s]", video)
    return video


def report(folder: Path) -> None:
    """An ingest of the sample, with broken files in it."""
    videos, _ = make_sample(folder / "videos", PEOPLE)
    _conversation(folder / "parts", videos / "conversation.mp4")
    for number in (1, 2):
        _ffmpeg("-i", videos / f"00{number}_speaking.mp4", "-t", "0.9", videos / f"teaser {number}.mp4")
    whole = (videos / "000_speaking.mp4").read_bytes()
    (videos / "half a download.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "notes.mp4").write_text("no video\n")
    (videos / "nothing.mp4").touch()
    _run("vclip", "ingest", videos, "--store", folder / "store", "--config", OFFLINE, "--report", folder / "report")
    _photograph(folder, folder / "report" / "report.html", IMAGES / "report.png", 1760)


def stats(folder: Path) -> None:
    """The statistics of the sample's store."""
    videos, _ = make_sample(folder / "videos", people=40)
    labels = videos / "labels.csv"
    _run("vclip", "ingest", videos, "--store", folder / "store", "--labels", labels, "--config", OFFLINE)
    _run("vclip", "stats", "--store", folder / "store", "--out", folder / "stats.html")
    _photograph(folder, folder / "stats.html", IMAGES / "stats.png", 1500)


def _photograph(folder: Path, page: Path, image: Path, height_px: int) -> None:
    page.write_text(page.read_text().replace(str(folder), "work"))
    browser = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    _run(*browser, f"--window-size=1080,{height_px}", f"--screenshot={image}", page.as_uri())
    Image.open(image).convert("RGB").save(image, optimize=True)  # all colours: fewer change the red of a limit


def browse(folder: Path) -> None:
    """The page on a store of the sample, with one clip open, and at a phone's width."""
    videos, _ = make_sample(folder / "videos", 40)
    store, model = folder / "store", folder / "model"
    labels = ("--labels", videos / "labels.csv")
    _run("vclip", "ingest", videos, "--store", store, "--config", OFFLINE, *labels)
    _run("vclip", "train", "--store", store, "--out", model, "--set", "train.cross_fit_below=0")
    shoot(store, model)


def shoot(store: Path, model: Path) -> None:
    """Takes the screenshots of `vclip browse`."""
    from playwright.sync_api import sync_playwright

    command = ["vclip", "browse", "--store", str(store), "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        try:
            url = server.stdout.readline().split()[0]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            _shot(browser, url, (1280, 800), IMAGES / "browse.png", clip=True)
            _shot(browser, url, (390, 844), IMAGES / "browse_phone.png", clip=False)
        finally:
            server.terminate()


def _shot(browser: Any, url: str, size: tuple[int, int], image: Path, clip: bool) -> None:
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    tab.goto(url)
    tab.wait_for_selector("main .tile")
    if clip:
        tab.locator("main .tile .face").nth(1).click()
        tab.locator("#panel .strip").nth(2).wait_for()
    tab.mouse.move(0, 0)
    tab.evaluate("document.getElementById('store').textContent = 'work/store'")
    tab.wait_for_load_state("networkidle")
    tab.screenshot(path=image)
    Image.open(image).convert("RGB").quantize(128).save(image, optimize=True)


def _ffmpeg(*arguments: object) -> None:
    _run(ffmpeg_binary(), "-v", "error", "-y", *arguments)


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="vclip-figures-"))
    try:
        {"inspect": inspect, "report": report, "stats": stats, "browse": browse}[sys.argv[1]](work)
    finally:
        shutil.rmtree(work)
