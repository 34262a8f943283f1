"""Data of others into a store: pairs of files, VoxCeleb's trees, ready-made vectors."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, config_of, imports
from pipelines.cli.ingest import show_ingest

Meta = Annotated[
    Path | None,
    typer.Option("--meta", help="vox1_meta.csv or vox2_meta.csv: labels, and whose name is whose."),
]

USED = ("encoders", "extraction", "ingest")  # sections of the configuration


@imports.command("pairs")
def import_pairs(
    table: Annotated[Path, typer.Argument(help="CSV: id, identity, gender, face, voice; files are beside the CSV.")],
    store: StoreUri,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import pictures with their speech: a face and a voice of each person.

    A pair whose picture shows no face, or whose sound is none, is a row that says so. Run it again to go on where it
    stopped.

    Example: `vclip import pairs pairs/pairs.csv --store work/pairs --config offline`
    """
    from pipelines.ingest.importers.pairs import import_pairs

    show_ingest(import_pairs(table, store, config_of(config, set, *USED)), as_json)


@imports.command("voxceleb")
def import_voxceleb(
    folders: Annotated[list[Path], typer.Argument(help="Roots of trees: of sound, of pictures, or of both.")],
    store: StoreUri,
    meta: Meta = None,
    files: Annotated[int, typer.Option(min=1, help="Pictures, and sound files, of a clip: at most so many.")] = 8,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import trees of VoxCeleb1 or VoxCeleb2: a clip of each identity in each video.

    The layouts are `id10001/VIDEO/00001.wav` (or .m4a) for sound, `NAME/1.6/VIDEO/0005175.jpg` or
    `id10001/VIDEO/0005175.jpg` for pictures, and `id00012/VIDEO/00001.mp4` for tracks of the face; what lies above
    does not matter. Run it again to go on where it stopped.

    Example: `vclip import voxceleb vox1/wav vox1/unzippedFaces --meta vox1_meta.csv --store work/vox1`

    Example: `vclip import voxceleb vox2/dev --meta vox2_meta.csv --store work/vox2 --files 4`
    """
    from pipelines.ingest.importers.voxceleb import import_voxceleb

    show_ingest(import_voxceleb(folders, store, config_of(config, set, *USED), meta, files), as_json)


@imports.command("features")
def import_features(
    faces: Annotated[Path, typer.Option("--faces", help="Face vectors by name: .npz, .pkl or .parquet.")],
    voices: Annotated[Path, typer.Option("--voices", help="Voice vectors by name, likewise.")],
    store: StoreUri,
    face_space: Annotated[str, typer.Option(help="Name of the faces' space: encoder/weights/preprocessing.")],
    voice_space: Annotated[str, typer.Option(help="Name of the voices' space.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, identity, gender, face, voice; the last two name vectors.")
    ] = None,
    meta: Meta = None,
    as_json: Json = False,
) -> None:
    """Import ready-made vectors; the store will have no pictures and no sound.

    A .npz holds the arrays `names` (n,) and `vectors` (n, dim), or one array under each name; a .pkl a dictionary of
    names and vectors, of plain data only; a .parquet the columns `name` and `vector`. Without a table, a face and a
    voice of one name are a clip, and so are those named like VoxCeleb's files of one identity in one video.

    Example: `vclip import features --faces face_input.pkl --voices voice_input.pkl --meta vox1_meta.csv
    --store work/features --face-space inception-v1/vggface2 --voice-space ecapa/vox2`
    """
    from pipelines.ingest.importers.features import import_features

    show_ingest(import_features(faces, voices, store, face_space, voice_space, table, meta), as_json)
