"""The `eudora` command: thin, one file per group of subcommands."""
