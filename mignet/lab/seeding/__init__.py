"""What a lab's cluster holds before anybody works on it: definitions, seeds, and the conversion between versions."""
