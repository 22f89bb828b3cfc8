"""How hypothesis runs here."""

from hypothesis import settings

# A deadline measures how busy the machine is: one example drives dozens of splits on cores shared with other work.
settings.register_profile("wire", deadline=None)
settings.load_profile("wire")
