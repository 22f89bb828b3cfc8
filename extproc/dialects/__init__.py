"""Wire formats, one package each: ``request``, ``response``, ``stream``, ``errors``.

A dialect is the front end (reads what clients send, writes what they get) or the back end (writes what upstreams take,
reads what they answer) of a compiler around ``conversation``; a package may be both. Packages do not know each other.
"""
