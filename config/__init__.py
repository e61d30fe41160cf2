"""What an operator decides, one section per file: TOML, then a secrets directory, then the environment, the later one wins."""
