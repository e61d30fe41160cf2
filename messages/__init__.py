"""Octets and messages: framing, ISO 8583, the protocol of the security module. Pure: bytes in, objects out; no socket and no clock."""
