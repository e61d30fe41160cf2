"""A datáfono: it asks for a sale over TCP, proves what it says with its own key, and prints the ticket."""
