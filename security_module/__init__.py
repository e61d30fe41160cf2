"""The security module: a process of its own that holds the keys, mints tokens and makes and checks MACs.

Nothing outside this process ever sees a vending key. Clients speak `messages.security_module` over mutual TLS.
"""
