"""What is learned from: Tetrominoes, known image sets and the user's own images, each split into training and test."""

from ratereg.data import splits, tetrominoes
from ratereg.data.chosen import Data
from ratereg.data.imageset import ImageSet
from ratereg.data.sources import load

__all__ = ["Data", "ImageSet", "load", "splits", "tetrominoes"]
