"""Published protocols of face-voice association: their data, splits and trials, read from their published files.

Packages add theirs in the entry-point group `vclip.protocols`; see `base.BenchmarkProtocol`.

base          what a protocol gives: training sets, trials, published figures
folder        the published files, in a folder or a zip archive
clips         clips by the names of their files
figures       the figures of a model on the trials
vfal_eva      VFAL-Eva (VoxCeleb: 901, 100 and 250 people)
self_lifting  Self-Lifting (VoxCeleb, without identities in training)
fame          the FAME challenge (MAV-Celeb: languages heard and unheard in training)
"""

from vclip.association.protocols.base import BenchmarkProtocol
from vclip.registry import Plugin, Registry

_HERE = "vclip.association.protocols"
PROTOCOLS: Registry[BenchmarkProtocol] = Registry(
    "protocol",
    "vclip.protocols",
    ("name", "about", "published", "read"),
    f"{_HERE}.base.BenchmarkProtocol",
    (
        Plugin("vfal-eva", f"{_HERE}.vfal_eva:VfalEva", about="VoxCeleb, split by people"),
        Plugin("self-lifting", f"{_HERE}.self_lifting:SelfLifting", about="VoxCeleb, training without identities"),
        Plugin("fame", f"{_HERE}.fame:Fame", about="MAV-Celeb: EER on languages heard and unheard in training"),
    ),
)
