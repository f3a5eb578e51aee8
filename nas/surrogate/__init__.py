"""Predicting what a genotype will measure, from the genotypes of a study that were measured."""
