"""Search for settings: `genlab search` asks Optuna for the next trial, and keeps everything in one folder."""
