"""10,000 training and 2,000 test images of Fashion-MNIST, written by make.py."""
