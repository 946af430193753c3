"""What leaves of a packet when those in it are to stay unknown.

Pure: a profile and a packet in, a rewritten packet or a refusal out. The way out of a destination
calls it; nothing here knows destinations.

Nothing is searched for and blotted out: a message is taken apart, and written anew from pieces that
are known (`words`), so what nobody thought of is left out rather than passed on.
"""

from hepsw.privacy.packet import Anonymiser
from hepsw.privacy.profile import PrivacyProfile

__all__ = ["Anonymiser", "PrivacyProfile"]
