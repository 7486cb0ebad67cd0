"""The commands of ``refstar-model``. Each module adds its own to the parser; nothing large is imported to parse."""
