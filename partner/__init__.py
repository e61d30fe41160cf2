"""What plays a partner network against our port: its traffic, and the certification cases that a new one starts with."""
