"""Every tensor that is made, and every model that is opened, says on which device; or stands here with a reason."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FACTORIES = {
    *(
        "tensor",
        "as_tensor",
        "asarray",
        "from_numpy",
        "frombuffer",
        "zeros",
        "ones",
        "empty",
        "full",
        "eye",
        "arange",
    ),
    *("linspace", "logspace", "rand", "randn", "randint", "randperm", "normal", "tril_indices", "triu_indices"),
    *("hann_window", "hamming_window", "load"),
}
OPENERS = {  # name -> which positional argument is the device
    "open_face_encoder": 1,
    "open_voice_encoder": 1,
    "_open_encoder": 2,
    "open_encoder": 2,
    "open_tts": 1,
    "load_association": 1,
    "load_model": 1,
    "load_built_in": 1,
    "TTSSignature.load": 1,
    "LrAsd": 2,
    "Embedder": 1,
}
# Files, or one function of a file, whose tensors or models are on the CPU whatever the machine has, and why.
ON_THE_CPU = {
    "vclip/device.py:from_numpy": "pinned first, and then sent to the device that the caller names",
    "vclip/encoders/dlib.py": "the encoder runs on CPUs only, and says so by gains_from_gpu",
    "vclip/encoders/dlib_network.py": "likewise",
    "vclip/association/methods/fop.py": "numbers of people, which go to the device of the clips at each step",
    "vclip/association/methods/self_lifting.py": "clusters by scikit-learn, which go to the device of the clips",
    "vclip/speakers/baselines.py": "a baseline in closed form",
    "vclip/speakers/normal_scores.py": "numpy in, numpy out, a few thousand rows",
    "vclip/marking/perth.py": "the watermark of one utterance, whose bits must not depend on the device",
    "vclip/tts/inverse_map.py": "the map of one speaker, in a TTS on onnxruntime",
    "vclip/tts/kokoro/inverse_map.py": "likewise",
    "vclip/tts/morph/inverse_map.py": "likewise",
    "vclip/tts/cloning.py": "a TTS that speaks one reference, opened by the one rule",
    "vclip/speakers/voice.py": "a TTS that speaks one kept voice, opened by the one rule",
    "pipelines/generation/distill.py:open_tts": "tests replace the function; tasks see no GPU",
    "pipelines/generation/fit_speakers.py:open_tts": "a TTS that lists its speakers, opened by the one rule",
    "pipelines/extraction/speech/vad.py": "a network of 0.3 M weights in a task, which sees no GPU",
    "pipelines/extraction/active_speaker/lr_asd.py:from_numpy": "frames, which go to the network's device in blocks",
}


def _unnamed(source: str, path: str) -> list[str]:
    """Returns the calls in a file that make a tensor or open a model and name no device."""
    return [
        f"{path}:{call.lineno} {ast.unparse(call)[:80]}"
        for call in _calls(ast.parse(source))
        if not _names_a_device(call) and f"{path}:{_last_name(call)}" not in ON_THE_CPU
    ]


def _calls(tree: ast.AST) -> list[ast.Call]:
    """Returns the calls that make a tensor or open a model, but for those whose result goes to a device at once."""
    calls, moved = [node for node in ast.walk(tree) if isinstance(node, ast.Call)], set()
    for call in calls:
        if _last_name(call) in ("to", "cpu", "cuda") and isinstance(call.func, ast.Attribute):
            moved.add(call.func.value)
        elif _last_name(call) in ("register_buffer", "Parameter"):  # a module's own, which go where it goes
            moved |= {node for argument in call.args for node in ast.walk(argument)}
    return [
        call
        for call in calls
        if call not in moved
        if (_name(call).startswith("torch.") and _last_name(call) in FACTORIES) or _opener(_name(call))
    ]


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _last_name(call: ast.Call) -> str:
    return _name(call).rpartition(".")[2]


def _opener(name: str) -> str:
    """Returns which of OPENERS a name is; "" for none."""
    return next((known for known in OPENERS if name == known or name.endswith(f".{known}")), "")


def _names_a_device(call: ast.Call) -> bool:
    if {keyword.arg for keyword in call.keywords} & {"device", "map_location"}:
        return True
    opener = _opener(_name(call))
    return len(call.args) > (OPENERS[opener] if opener else 1) and (bool(opener) or _name(call) == "torch.load")


def _files():
    return [path for folder in ("vclip", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_tensor_and_every_model_names_its_device():
    wrong = [
        call
        for path in _files()
        if (name := path.relative_to(ROOT).as_posix()) not in ON_THE_CPU
        for call in _unnamed(path.read_text(), name)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_still_one():
    for name in ON_THE_CPU:
        path, _, function = name.partition(":")
        calls = [_last_name(c) for c in _calls(ast.parse((ROOT / path).read_text())) if not _names_a_device(c)]
        assert function in calls if function else calls, name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("torch.zeros(3)", 1),
        ("torch.zeros(3, device=x.device)", 0),
        ("torch.from_numpy(a).to(device)", 0),
        ("torch.from_numpy(a).float()", 1),
        ("self.register_buffer('mean', torch.zeros(3))", 0),
        ("nn.Parameter(torch.tensor(3.0).log())", 0),
        ("torch.load(path, 'cpu')", 0),
        ("torch.load(path)", 1),
        ("vclip.encoders.open_face_encoder(spec)", 1),
        ("open_face_encoder(spec, None)", 0),
        ("TTSSignature.load(folder)", 1),
        ("def f():\n    return [torch.ones(2) for _ in range(3)]", 1),
        ("x.to(f(torch.ones(2)))", 1),
        ("f(torch.ones(2)).to(device)", 1),
        ("numpy.zeros(3)", 0),
    ],
)
def test_the_reader_of_calls_sees_every_kind(source, found):
    """So that the tests above can fail."""
    assert len(_unnamed(source, "file.py")) == found
