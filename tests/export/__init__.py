"""Tests of exports: each is read back by the tool that it is for."""
