"""`vclip pull`: copies a model or speakers, that is weights, JSON and text, from a folder or from the hub."""

import shutil
from pathlib import Path

from pipelines.hub.shared import FILES, SPEAKERS, Shared, checkpoints_of, described, hub_errors, repository_of
from vclip.errors import InputError
from vclip.files import whole_folder


def pull(place: str, out: Path) -> Shared:
    """Pulls a model or speakers that `vclip push` wrote, checks that they can be read, and returns them.

    Args:
        place: a folder, or `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`.
        out: the folder to write; new or empty.

    Raises:
        InputError: there is no such place, it holds no checkpoint or a damaged one, or the hub cannot be reached.
    """
    repository = repository_of(place)
    names = [*FILES, *(f"{folder}/{file}" for folder in SPEAKERS for file in FILES)]
    with whole_folder(out) as draft:
        if repository is None:
            source = Path(place)
            if not source.is_dir():
                raise InputError(f"'{place}': no such folder; a repository of the hub is hf:OWNER/NAME")
        else:
            import huggingface_hub

            with hub_errors(place):
                found = huggingface_hub.snapshot_download(
                    repository.name, revision=repository.revision, allow_patterns=names
                )
            source = Path(found)
        checkpoints_of(source)  # not of the draft, so that an error names files that stay
        for name in names:
            if (source / name).is_file():
                (draft / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, draft / name)
    return described(place, out)
