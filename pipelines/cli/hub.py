"""Commands that share models and speakers: push and pull."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import Json, NewFolder, app
from pipelines.cli.output import print_result


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

    print_result(push(folder, target, licence, private=not public), as_json, f"pushed to {target}")


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

    print_result(pull(name, out), as_json, f"pulled from {name}")
