"""`vclip push`: copies a model or speakers to a folder or to the hub, with a model card."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.hub.card import card
from pipelines.hub.shared import FILES, Shared, checkpoints_of, described, hub_errors, repository_of
from vclip.errors import InputError
from vclip.files import whole_folder


def push(folder: Path, target: str, licence: str, private: bool = True) -> Shared:
    """Pushes a folder of `vclip train`, `fit-speakers` or `distill`, and returns what was pushed.

    Only the checkpoints are copied; logs, plots and cached speech stay.

    Args:
        folder: the model or the speakers.
        target: a new or empty folder, or `hf:OWNER/NAME`, a model repository of the hub, which is created if missing.
        licence: an identifier of the hub, as in "cc-by-4.0".
        private: whether a repository that is created is private.

    Raises:
        InputError: the folder holds no checkpoint, the target is not empty, or the hub refuses.
    """
    repository, found = repository_of(target), checkpoints_of(folder)
    if repository is None:
        with whole_folder(Path(target)) as draft:
            _copy(folder, found, draft, Path(target).name, licence)
        return described(target, Path(target))
    if repository.revision:
        raise InputError(f"'{target}': found a revision, expected hf:OWNER/NAME; a push makes a new one")
    import huggingface_hub

    hub, message = huggingface_hub.HfApi(), f"vclip push: {', '.join(found)}"
    with tempfile.TemporaryDirectory() as draft:
        _copy(folder, found, Path(draft), target, licence)
        with hub_errors(target):
            hub.create_repo(repository.name, private=private, exist_ok=True)
            hub.upload_folder(repo_id=repository.name, folder_path=draft, commit_message=message)
    return described(target, folder)


def _copy(folder: Path, found: Mapping[str, Path], out: Path, name: str, licence: str) -> None:
    for path in found.values():
        place = out / path.relative_to(folder)
        place.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            if (path / file).is_file():
                shutil.copyfile(path / file, place / file)
    (out / "README.md").write_text(card(found, name, licence), encoding="utf-8")
