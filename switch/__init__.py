"""The process that sells: it takes ISO 8583 requests from networks, and answers each once its outcome is durable."""
