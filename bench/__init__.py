"""Figures that a test should not depend on: each program measures one claim against the real program, and prints it."""
