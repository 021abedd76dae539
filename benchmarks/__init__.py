"""Accuracy and speed, each a program that anyone can run."""
