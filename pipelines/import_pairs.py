"""`vclip import pairs`: pictures with their speech into the store, as clips of one face and one voice.

They go the way of a video: the face is found and cut by the same rule, the speech is stored and embedded alike.
"""

from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.crops import cut_crop
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.faces.photos import face_in_photo, read_image
from pipelines.extraction.rows import Clip, Extraction
from pipelines.extraction.voices.segments import cut_segments
from pipelines.extraction.voices.speech import find_speech
from pipelines.ingest import Summary, ingest
from pipelines.inputs.source import Source, source_of
from pipelines.inputs.tables import read_csv
from vclip.audio import read_audio, resample
from vclip.errors import InputError

COLUMNS = ("id", "identity", "gender", "face", "voice")
SAMPLE_RATE_HZ = 16_000


def import_pairs(table: str | Path, store_uri: str, config: Config) -> Summary:
    """Imports a CSV of pairs: columns id, identity, gender, face, voice; paths are relative to the CSV.

    Other columns become labels. A pair whose picture has no face is a failed row, one without a sound an empty one.

    Raises:
        InputError, StoreError: not such a CSV, or nowhere to write.
    """
    folder = Path(table).parent
    sources = []
    for row in read_csv(table, COLUMNS):
        labels = {k: v for k, v in row.items() if k not in ("face", "voice") and k and v}
        files = [folder / row["face"], folder / row["voice"]]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise InputError(f"table {table}, id '{row['id']}': no such file {missing[0]}; nothing was imported")
        sources.append(source_of(files, labels))
    return ingest(sources, store_uri, config, read_pair, unit="pairs")


def read_pair(source: Source, config: Config) -> Extraction:
    """Returns one clip of one face and one voice: the largest face of the picture, and all of the speech."""
    face_path, voice_path = source.paths
    settings = config.extraction
    try:
        picture = read_image(face_path)
        face, _, _ = face_in_photo(picture, open_detector(settings.tracks.detector))
        sound = resample(*read_audio(voice_path), SAMPLE_RATE_HZ)
    except InputError as error:
        return Extraction("failed", str(error), 0.0)
    sound = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    crop = cut_crop(picture, face, 0.0, settings.clips.jpeg_quality)
    duration_s = len(sound) / SAMPLE_RATE_HZ
    voices = cut_segments(sound, find_speech(sound, settings.speech), 0.0, duration_s, settings.clips)
    if not voices:
        return Extraction("empty", f"no sound in {voice_path}", duration_s)
    clip = Clip(0.0, duration_s, crop.box, 1.0, (crop,), voices)
    return Extraction("done", "", duration_s, (clip,), {"clips": 1})
