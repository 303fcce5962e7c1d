"""Tiny random models of every family, held against plain eager transformers and against definitions."""
