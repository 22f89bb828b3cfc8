"""The neutral form of one chat exchange: what every dialect reads into and writes from.

Everything here is a frozen value. Ordered blocks inside turns are the truth; a dialect's flat message is one
rendering of them. What a target cannot carry is a ``Refusal`` (content) or a ``Loss`` (tuning), never silence.
"""
