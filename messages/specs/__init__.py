"""One module per dialect: its field table as a pyiso8583 specification dictionary."""
