"""Networks that sell for us: one adapter per kind of network, between its ISO 8583 messages and the orders of the vending core."""
