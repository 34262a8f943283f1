"""Existing data into a store: pairs of files, VoxCeleb, precomputed vectors."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, config_of, imports
from pipelines.cli.ingest import show_ingest

Meta = Annotated[
    Path | None,
    typer.Option("--meta", help="vox1_meta.csv or vox2_meta.csv: labels, and the name of each id."),
]

USED = ("encoders", "extraction", "ingest")  # sections of the configuration


@imports.command("pairs")
def import_pairs(
    table: Annotated[
        Path, typer.Argument(help="CSV: id, identity, gender, face, voice; paths are relative to the CSV.")
    ],
    store: StoreUri,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import photos with speech: a face and a voice of each person.

    A pair whose photo shows no face, or whose audio cannot be read, becomes a row with the reason. Run the command
    again to continue where it stopped.

    Example: `vclip import pairs pairs/pairs.csv --store work/pairs --config offline`
    """
    from pipelines.ingest.importers.pairs import import_pairs

    show_ingest(import_pairs(table, store, config_of(config, set, *USED)), as_json)


@imports.command("voxceleb")
def import_voxceleb(
    folders: Annotated[list[Path], typer.Argument(help="Root folders of audio, of images, or of both.")],
    store: StoreUri,
    meta: Meta = None,
    files: Annotated[int, typer.Option(min=1, help="Most images, and most audio files, of one clip.")] = 8,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import VoxCeleb1 or VoxCeleb2 folder trees: one clip per identity and video.

    The layouts are `id10001/VIDEO/00001.wav` (or .m4a) for audio, `NAME/1.6/VIDEO/0005175.jpg` or
    `id10001/VIDEO/0005175.jpg` for images, and `id00012/VIDEO/00001.mp4` for face tracks; the folders above do not
    matter. Run the command again to continue where it stopped.

    Example: `vclip import voxceleb vox1/wav vox1/unzippedFaces --meta vox1_meta.csv --store work/vox1`

    Example: `vclip import voxceleb vox2/dev --meta vox2_meta.csv --store work/vox2 --files 4`
    """
    from pipelines.ingest.importers.voxceleb import import_voxceleb

    show_ingest(import_voxceleb(folders, store, config_of(config, set, *USED), meta, files), as_json)


@imports.command("features")
def import_features(
    faces: Annotated[Path, typer.Option("--faces", help="Face vectors by name: .npz, .pkl or .parquet.")],
    voices: Annotated[Path, typer.Option("--voices", help="Voice vectors by name: .npz, .pkl or .parquet.")],
    store: StoreUri,
    face_space: Annotated[
        str, typer.Option(help="Name of the space of the face vectors: encoder/weights/preprocessing.")
    ],
    voice_space: Annotated[str, typer.Option(help="Name of the space of the voice vectors.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, identity, gender, face, voice; face and voice are names of vectors.")
    ] = None,
    meta: Meta = None,
    as_json: Json = False,
) -> None:
    """Import precomputed vectors; the store will hold no images and no audio.

    A .npz file holds the arrays `names` (n,) and `vectors` (n, dim), or one array per name; a .pkl file a dictionary
    of names and vectors, with plain data only; a .parquet file the columns `name` and `vector`. Without a table, a
    face and a voice of the same name form a clip, and so do those of one VoxCeleb identity and video.

    Example: `vclip import features --faces face_input.pkl --voices voice_input.pkl --meta vox1_meta.csv
    --store work/features --face-space inception-v1/vggface2 --voice-space ecapa/vox2`
    """
    from pipelines.ingest.importers.features import import_features

    show_ingest(import_features(faces, voices, store, face_space, voice_space, table, meta), as_json)
