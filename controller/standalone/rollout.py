"""The order of a change: what Envoy needs is there before the processor uses it, and goes after it stopped.

Envoy's two files and the processor's one are three readers with clocks of their own. So Envoy gets the old and the new
first, then the processor gets the new, and after a while Envoy loses the old.
"""

from controller.translate import EnvoyConfig
from controller.translate.envoy.overlay import overlaid, parts_of


def merged(old: EnvoyConfig, new: EnvoyConfig) -> EnvoyConfig:
    """Everything of both; where a name is in both, the new one."""
    before = parts_of(old.rds, old.cds, old.ecds)
    return EnvoyConfig(*overlaid(new.rds, new.cds, new.ecds, before, before))
