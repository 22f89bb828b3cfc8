"""What the gateway shows an upstream to be let in, and how a request is signed with it. Pure: no files, no clock."""
