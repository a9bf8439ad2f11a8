"""A local page on which one explores a trained model."""
