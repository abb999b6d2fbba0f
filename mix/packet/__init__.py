"""
The packet: what a hop does with one, and how a sender makes one. Pure; see docs/spec/packet.md.

`unwrap` and `batch` are what mixes and gateways need, and import neither sphinxmix nor petlib;
`build` is for those who send.
"""
