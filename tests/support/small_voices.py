"""VITS and Piper voices small enough to make in a test; their weights are random, what they say is noise."""

import json
import string

import numpy as np
import torch

SPEAKERS, DIM = 12, 16
LETTERS = "_^$ " + string.ascii_lowercase + string.digits + "'.,!?-äöüßéñ\u0301\u0303\u0308"


def small_vits(folder):
    """Writes a VITS checkpoint of transformers that reads letters; returns its folder."""
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    config = VitsConfig(
        vocab_size=len(LETTERS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        duration_predictor_filter_channels=16,
        prior_encoder_num_flows=1,
        duration_predictor_num_flows=1,
        posterior_encoder_num_wavenet_layers=1,
        prior_encoder_num_wavenet_layers=1,
        depth_separable_num_layers=1,
        upsample_initial_channel=16,
        upsample_rates=[16, 16],
        upsample_kernel_sizes=[32, 32],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        num_speakers=SPEAKERS,
        speaker_embedding_size=DIM,
        sampling_rate=16_000,
    )
    torch.manual_seed(0)
    model = VitsModel(config)
    # Initial weights are so small that no speaker would be heard.
    torch.nn.init.normal_(model.embed_speaker.weight)
    for conv in (model.decoder.cond, model.decoder.conv_post):
        torch.nn.init.normal_(conv.weight, std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    VitsTokenizer(folder / "vocab.json", phonemize=False, pad_token="_", unk_token="^").save_pretrained(folder)
    return folder


def small_piper(folder):
    """Writes a Piper voice that reads letters; returns its ONNX file.

    Not Piper's network but its interface: a table of speakers, a duration for each letter, noise, a waveform.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, hop = np.random.default_rng(0), 64
    arrays = {
        "emb_g.weight": rng.normal(size=(SPEAKERS, DIM)).astype(np.float32),
        "emb": rng.normal(size=(len(LETTERS), DIM)).astype(np.float32),
        "dec": rng.normal(size=(DIM, 16 * hop)).astype(np.float32) / 16,
        "first": np.array([0], np.int64),
        "out": np.array([1, 1, -1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["emb_g.weight", "sid"], ["g"], axis=0),
        helper.make_node("Gather", ["emb", "input"], ["letters"]),
        helper.make_node("Add", ["letters", "g"], ["m"]),
        helper.make_node("RandomNormalLike", ["m"], ["noise"], mean=0.0, scale=1.0),
        helper.make_node("Gather", ["scales", "first"], ["noise_scale"]),
        helper.make_node("Mul", ["noise", "noise_scale"], ["scaled"]),
        helper.make_node("Add", ["m", "scaled"], ["z"]),
        helper.make_node("MatMul", ["z", "dec"], ["frames"]),
        helper.make_node("Tanh", ["frames"], ["bounded"]),
        helper.make_node("Reshape", ["bounded", "out"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 1, "time"])
    graph = helper.make_graph(
        nodes, "voice", inputs, [output], [numpy_helper.from_array(v, k) for k, v in arrays.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / "small.onnx"
    onnx.save(model, str(path))
    settings = {
        "audio": {"sample_rate": 16_000},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "text",
        "num_symbols": len(LETTERS),
        "num_speakers": SPEAKERS,
        "speaker_id_map": {f"p{i}": i for i in range(SPEAKERS)},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": {letter: [i] for i, letter in enumerate(LETTERS)},
    }
    path.with_name("small.onnx.json").write_text(json.dumps(settings))
    return path
