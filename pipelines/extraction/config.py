"""Configuration of extraction, one section per stage. Lengths are seconds, sizes pixels, levels dB, scores 0..1.

The keys are stored with every run; their names stay, also where the code calls the thing by another name.
"""

from pydantic import Field

from vclip.config import Settings


class MediaConfig(Settings):
    """How a file is probed and decoded."""

    rate_hz: float = Field(
        default=25.0, gt=0, description="analysis frames per second, whatever the rate of the source"
    )
    max_side_px: int = Field(
        default=640, ge=64, description="longer side of an analysis frame; smaller videos are not enlarged"
    )
    audio: str = Field(
        default="",
        description="which audio stream: a language (en, eng), a number from 0, or empty for the default one",
    )
    open_limit_s: float = Field(default=30.0, gt=0, description="time limit for reading the headers of a file")
    stall_limit_s: float = Field(default=60.0, gt=0, description="ffmpeg is stopped after this time without output")
    slow_limit_s: float = Field(
        default=120.0, gt=0, description="limit of the whole time spent waiting for ffmpeg: this, plus"
    )
    slow_limit_ratio: float = Field(default=20.0, gt=0, description="this many times the length of the decoded video")
    max_duration_s: float = Field(default=6 * 3600.0, gt=0, description="a longer video fails")
    max_gap_s: float = Field(
        default=600.0, gt=0, description="what follows a longer gap in the timestamps of a stream is left out"
    )
    max_picture_mpx: float = Field(
        default=68.0, gt=0, description="a video with larger frames fails, in megapixels; 8K has 33"
    )
    memory_limit_mb: int = Field(
        default=4096, ge=1024, description="limit of ffmpeg's address space (Linux); 8K on 2 threads takes 2200"
    )
    ffmpeg: str = Field(
        default="", description="path or name of the ffmpeg to run; empty: the one that imageio-ffmpeg ships"
    )
    threads: int = Field(default=1, ge=0, description="ffmpeg's decoding threads; 0 lets ffmpeg choose")


class ShotConfig(Settings):
    """When a change between frames is a cut."""

    threshold: float = Field(
        default=0.07, gt=0, description="least change between frames, as a share of the full range"
    )
    ratio: float = Field(
        default=3.0, gt=1, description="a cut changes this many times more than the frames around it"
    )
    around_s: float = Field(default=0.32, gt=0, description="length of the comparison to each side")


class TrackConfig(Settings):
    """How faces are detected and followed."""

    detector: str = Field(
        default="centerface", description="centerface, yunet:FILE.onnx (or that path alone), or another by its spec"
    )
    every_s: float = Field(default=0.2, gt=0, description="time between detections of a face")
    whole_s: float = Field(
        default=0.8, gt=0, description="time between searches of a whole frame, while all faces stay in view"
    )
    min_overlap: float = Field(
        default=0.3, gt=0, lt=1, description="least intersection over union that continues a track"
    )
    max_gap_s: float = Field(default=0.8, ge=0, description="a track survives missed detections this long")
    min_face_px: float = Field(default=24.0, gt=0, description="least shorter side of a face in the analysis frame")


class SpeechConfig(Settings):
    """What counts as speech."""

    threshold: float = Field(default=0.1, gt=0, lt=1, description="speech probability at which speech starts")
    hysteresis: float = Field(default=0.05, ge=0, lt=1, description="speech ends this much below the threshold")
    min_speech_s: float = Field(default=0.2, ge=0, description="shorter speech is not counted")
    join_s: float = Field(default=1.2, ge=0, description="shorter pauses belong to the speech around them")
    pad_s: float = Field(default=0.5, ge=0, description="speech is widened by this to each side")


class ActiveSpeakerConfig(Settings):
    """Which visible face is the active speaker."""

    threshold: float = Field(
        default=0.4, ge=0, le=1, description="least probability of the face that is most likely the active speaker"
    )
    backend: str = Field(
        default="",
        description="lip_sync, lr_asd or another by its spec; empty: lr_asd where it has weights, else lip_sync",
    )
    lr_asd: str = Field(
        default="", description="path or http(s) address of the LR-ASD weights; empty: lip sync alone"
    )
    lr_asd_sha256: str = Field(default="", description="SHA-256 of the weights; required for an address")
    window_s: float = Field(default=3.0, gt=0, description="lips and speech are compared over windows this long")
    hop_s: float = Field(default=0.5, gt=0, description="time between windows")
    prior: float = Field(
        default=0.7, gt=0, lt=1, description="share of lone faces in view during speech that are the speaker"
    )


class SpeakerChangeConfig(Settings):
    """One speaker per clip."""

    change_threshold: float = Field(
        default=0.88,
        gt=0,
        le=1,
        description="least probability of another speaker at which a clip is split; 1: never",
    )
    overlap_threshold: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="least probability of overlapped speech at which a clip is dropped; 1: never",
    )
    judge_s: float = Field(default=2.0, ge=0, description="shorter clips are taken as one speaker")
    overlap_s: float = Field(default=3.2, ge=0, description="shorter clips are not dropped for overlapped speech")
    min_s: float = Field(default=1.0, gt=0, description="shorter parts of a split clip are dropped")


class ClipConfig(Settings):
    """How candidates become clips, and which clips are kept."""

    min_s: float = Field(default=1.0, gt=0, description="shorter clips are dropped")
    max_s: float = Field(
        default=10.0, gt=0, description="longer clips are cut into several, at pauses where there are any"
    )
    min_speech_ratio: float = Field(default=0.4, ge=0, le=1, description="least share of a clip that holds speech")
    min_snr_db: float = Field(default=-5.0, description="least signal-to-noise ratio of a clip's speech")
    min_face_px: float = Field(default=24.0, gt=0, description="least shorter side of the face at full resolution")
    min_quality: float = Field(default=0.1, ge=0, le=1, description="least quality of a clip's best face crop")
    crops: int = Field(default=3, ge=1, description="face crops per clip")
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    segment_min_s: float = Field(
        default=1.0, gt=0, description="shorter speech segments are merged with their neighbour"
    )
    segment_max_s: float = Field(default=6.0, gt=0, description="longest speech segment")


class ExtractionConfig(Settings):
    """The whole configuration of extraction."""

    media: MediaConfig = MediaConfig()
    shots: ShotConfig = ShotConfig()
    tracks: TrackConfig = TrackConfig()
    speech: SpeechConfig = SpeechConfig()
    speaking: ActiveSpeakerConfig = ActiveSpeakerConfig()
    voices: SpeakerChangeConfig = SpeakerChangeConfig()
    clips: ClipConfig = ClipConfig()
