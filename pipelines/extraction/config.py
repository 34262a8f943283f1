"""Configuration of extraction, one section a stage. Lengths are seconds, sizes pixels, levels dB, scores 0..1."""

from pydantic import Field

from vclip.config import Settings


class MediaConfig(Settings):
    """How a file is probed and decoded."""

    rate_hz: float = Field(25.0, gt=0, description="analysis frames per second, constant whatever the source has")
    max_side_px: int = Field(
        640, ge=64, description="longer side of an analysis frame; smaller videos stay as they are"
    )
    audio: str = Field(
        "", description="which audio stream: a language (en, eng), a number from 0, or empty for the default one"
    )
    open_limit_s: float = Field(30.0, gt=0, description="time that reading a file's headers may take")
    stall_limit_s: float = Field(60.0, gt=0, description="time that ffmpeg may give nothing before it is stopped")
    slow_limit_s: float = Field(120.0, gt=0, description="waiting for ffmpeg, in all, may take this long, and")
    slow_limit_ratio: float = Field(20.0, gt=0, description="this many times the length of what it gave")
    max_duration_s: float = Field(6 * 3600.0, gt=0, description="a longer video fails")
    max_gap_s: float = Field(
        600.0, gt=0, description="a stream's pictures or sound after a longer gap in its timestamps are left out"
    )
    max_picture_mpx: float = Field(68.0, gt=0, description="larger pictures fail, in megapixels; 8K has 33")
    memory_limit_mb: int = Field(
        4096, ge=1024, description="address space that ffmpeg may take (Linux); 8K on 2 threads takes 2200"
    )
    threads: int = Field(1, ge=0, description="ffmpeg's decoding threads; 0 lets ffmpeg choose")


class ShotConfig(Settings):
    """When a change of picture is a cut."""

    threshold: float = Field(0.07, gt=0, description="least change of picture, as a share of the full range")
    ratio: float = Field(3.0, gt=1, description="a cut changes this many times more than the frames around it")
    around_s: float = Field(0.32, gt=0, description="how far around, to each side")


class TrackConfig(Settings):
    """How faces are found and followed."""

    detector: str = Field(
        "centerface", description="centerface, yunet:FILE.onnx (or that path alone), or another by its spec"
    )
    every_s: float = Field(0.2, gt=0, description="time between detections")
    min_overlap: float = Field(0.3, gt=0, lt=1, description="least intersection over union that continues a track")
    max_gap_s: float = Field(0.8, ge=0, description="a track survives missed detections this long")
    min_face_px: float = Field(24.0, gt=0, description="least shorter side of a face in the analysis frame")


class SpeechConfig(Settings):
    """What counts as speech."""

    threshold: float = Field(0.1, gt=0, lt=1, description="speech probability at which speech starts")
    hysteresis: float = Field(0.05, ge=0, lt=1, description="speech ends this much below the threshold")
    min_speech_s: float = Field(0.2, ge=0, description="shorter speech is not counted")
    join_s: float = Field(1.2, ge=0, description="shorter pauses belong to the speech around them")
    pad_s: float = Field(0.5, ge=0, description="speech is widened by this to each side")


class SpeakingConfig(Settings):
    """Which visible face is the one heard."""

    threshold: float = Field(0.5, ge=0, le=1, description="least probability that a face is the one heard")
    backend: str = Field(
        "", description="lip_sync, lr_asd or another by its spec; empty: lr_asd where it has weights, else lip_sync"
    )
    lr_asd: str = Field("", description="path or http(s) address of LR-ASD's weights; empty: the lips alone")
    lr_asd_sha256: str = Field("", description="their checksum; an address needs one")
    window_s: float = Field(3.0, gt=0, description="lips and speech are compared over windows this long")
    hop_s: float = Field(0.5, gt=0, description="time between windows")
    prior: float = Field(
        0.7, gt=0, lt=1, description="how often a lone face seen under speech is the one that speaks"
    )


class VoiceConfig(Settings):
    """One voice per clip."""

    change_threshold: float = Field(
        0.88, gt=0, le=1, description="least probability of another speaker at which a clip is split; 1: never"
    )
    overlap_threshold: float = Field(
        0.95, gt=0, le=1, description="least probability of two voices at once at which a clip is dropped; 1: never"
    )
    judge_s: float = Field(2.0, ge=0, description="shorter clips are taken for one voice")
    overlap_s: float = Field(3.2, ge=0, description="shorter clips are not dropped for two voices at once")
    min_s: float = Field(1.0, gt=0, description="a shorter rest of a split clip is dropped")


class ClipConfig(Settings):
    """How speaking stretches become clips, and which clips are kept."""

    min_s: float = Field(1.0, gt=0, description="shorter clips are dropped")
    max_s: float = Field(10.0, gt=0, description="longer ones are cut into several, at a pause where there is one")
    min_speech_ratio: float = Field(0.4, ge=0, le=1, description="least share of a clip that holds speech")
    min_snr_db: float = Field(-5.0, description="least signal-to-noise ratio of a clip's speech")
    min_face_px: float = Field(24.0, gt=0, description="least shorter side of the face at full resolution")
    min_quality: float = Field(0.1, ge=0, le=1, description="least quality of a clip's best face crop")
    crops: int = Field(3, ge=1, description="face crops per clip")
    jpeg_quality: int = Field(92, ge=1, le=100)
    segment_min_s: float = Field(1.0, gt=0, description="shorter speech segments join their neighbour")
    segment_max_s: float = Field(6.0, gt=0, description="longest speech segment")


class ExtractionConfig(Settings):
    """Everything that decides what one video gives."""

    media: MediaConfig = MediaConfig()
    shots: ShotConfig = ShotConfig()
    tracks: TrackConfig = TrackConfig()
    speech: SpeechConfig = SpeechConfig()
    speaking: SpeakingConfig = SpeakingConfig()
    voices: VoiceConfig = VoiceConfig()
    clips: ClipConfig = ClipConfig()
