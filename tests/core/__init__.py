"""Tests of the pure core against closed forms, enumeration and published counts."""
