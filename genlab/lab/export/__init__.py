"""Export a trained model: as ONNX files, as archives of torch.export, or as a folder for the Hugging Face Hub."""
