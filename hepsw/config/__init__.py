"""What an operator writes: TOML files, the models that judge them, and diagnostics that point."""
