"""Commands that share models and speakers: push and pull."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import Json, NewFolder, app
from pipelines.cli.output import print_result, say_next

if TYPE_CHECKING:
    from pipelines.hub.shared import Shared


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a model (`train`) or of speakers (`fit-speakers`).")],
    target: Annotated[
        str, typer.Argument(help="New folder, or hf:OWNER/NAME, a repository of the Hugging Face hub.")
    ],
    licence: Annotated[str, typer.Option(help="Licence of the model, by the hub's identifier, as in cc-by-4.0.")],
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public instead of private.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Share a model or speakers: copy them to a folder or to the Hugging Face hub, with a model card.

    The card states the figures, the intended use and the licence. Logs, plots and cached speech are not copied.
    Speakers contain the vectors of the known speakers.

    Example: `vclip push work/model shared/faces-and-voices --licence cc-by-4.0`

    Example: `vclip push work/speakers hf:ann/speakers --licence cc-by-4.0`
    """
    from pipelines.hub.push import push

    _show(push(folder, target, licence, private=not public), as_json, f"pushed to {target}")
    if not as_json:
        say_next(f"vclip pull {quote(target)} --out FOLDER")


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(help="Folder that `push` wrote, or hf:OWNER/NAME, optionally with @REVISION.")
    ],
    out: NewFolder,
    as_json: Json = False,
) -> None:
    """Get a model or speakers that `push` shared, from a folder or from the Hugging Face hub.

    Only weights (safetensors), JSON and text are copied, and the checkpoints are tested before the folder appears.

    Example: `vclip pull hf:ann/faces-and-voices --out work/model`

    Example: `vclip pull shared/faces-and-voices --out work/model`
    """
    from pipelines.hub.pull import pull

    shared, of = pull(name, out), quote(str(out))
    _show(shared, as_json, f"pulled from {name}")
    if not as_json and shared.kind == "association":
        say_next(f"vclip evaluate --store STORE_OF_OTHER_PEOPLE --model {of}")
    elif not as_json:
        say_next(f"vclip generate --face PHOTO --text TEXT --model MODEL --speakers {of} --out FOLDER")


def _show(shared: "Shared", as_json: bool, title: str) -> None:
    words = {
        "kind": shared.kind,
        "folder": "" if shared.folder == shared.place else shared.folder,  # the title names the place
        "hash of the weights": "\n".join(f"{name}: {sha256}" for name, sha256 in shared.weights.items()),
    }
    print_result(shared if as_json else words, as_json, title)
