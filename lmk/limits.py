"""What files and parameters may ask for, at most: all limits in one place, each with its reason.

A limit is far above what honest data needs and far below what would hang, fill the memory, or make nonsense.  What is
beyond it is refused in one line, before any work is done.  docs/limits.md is this list for users.
"""

from __future__ import annotations

# Bytes of files that are read as a whole.
PARAMETER_BYTES = 1 << 20  # a parameter file has some kB
SCHEME_BYTES = 1 << 22  # names and contours of POINTS points
LABEL_BYTES = 1 << 22  # one .pts file; 10,000 points take 0.3 MiB
ELEMENT_BYTES = 1 << 26  # one entry of a JSON list: an outline has some kB, a task may hold its picture
TAG_BYTES = 1 << 22  # one tag of an XML file; 10,000 points in one take 0.2 MiB
LIST_BYTES = 1 << 30  # one line an image: annotators.csv of ten million images
TABLE_BYTES = 1 << 38  # an HDF5 or SQLite file; packages have pictures in them, and are read row by row
DLC_BYTES = 1 << 30  # one table of DeepLabCut as H5; 10^6 frames with 50 points take 0.8 GB
JSON_BYTES = 1 << 28  # results and descriptions of networks: the audit of a large set has some MB
CURVE_BYTES = 1 << 26  # a line each 2,000 images seen
IMAGE_BYTES = 1 << 30  # an image of PIXELS pixels that is not compressed has 0.6 GB
WEIGHT_BYTES = 1 << 34  # WEIGHTS_OF_NETWORK numbers of 4 bytes, and the optimiser's and the averaged ones beside them

# What a text holds.
NESTING = 64  # levels of JSON and YAML; ours have 8, and Python gives up at some hundreds
DIGITS = 100  # of one number in JSON and YAML; a float written out exactly has about 55, thousands take seconds
ENTRIES = 100_000  # of a parameter file with its aliases written out; ten lines of aliases can stand for 10^9

# What data holds.
POINTS = 10_000  # of a scheme: dense meshes have some thousands; tables of pairs of points have to fit into memory
SET_ROWS = 1 << 29  # points of a set: about 20 GB of memory, fifty times the largest set measured
SET_BYTES = 1 << 36  # a file of SET_ROWS points with all evidence has about 20 GB
PIECE_BYTES = 1 << 27  # of a table in an HDF5 or MATLAB file, unpacked, at once: two million instances
ROWS_AT_ONCE = 1 << 22  # of AFLW's landmarks, of SLEAP's instances: what is held as a whole; AFLW has 380,000
CELL_BYTES = 1 << 12  # of one point in a Parquet file, unpacked: a few kB of file can stand for 10^9 bytes of text
PIXELS = 200_000_000  # of an image, up to 1.2 GB while it is decoded; the largest cameras have 151 million

# What parameters ask for.
COUNT = 10**9  # images seen, epochs, looks: years of training
THREADS = 1024  # of a training: more than the cores of any machine
SEED = (1 << 63) - 1  # torch takes no larger one
RATE = 10.0  # of learning, decay: weights explode long before
BATCH = 4096  # images a step: hundreds of small crops fill the memory of a large GPU
TURN = 180.0  # degrees: no standard deviation of a rotation is larger than half a turn
LARGEST_BOX, SMALLEST_BOX = 8.0, 0.5  # box_scale: beyond, crops show no object or no landmarks
INPUT_SIZE = 2048  # pixels of a crop: 16 times the default, 256 times its work
HEATMAP_SIGMA = 128.0  # half of a heatmap
STACKS = 16  # hourglasses in a row; the paper has 4, its authors' 8
WIDTH = 1024  # channels; the widest hourglasses in print have 512
DEPTH = 64  # blocks of a stage; ResNet-152 has 36
WEIGHTS_OF_NETWORK = 1 << 30  # numbers of a network, 4 GB; the largest in this field have 0.3 * 10^9
VIEWS = 512  # of each image: the mean of more is no better, and each takes a prediction
CANDIDATES = 256  # steps across what a search looks at: a map of 65,536 values for each point
PRIOR = 1e6  # weight of the observation: nothing moves long before
PERCENT = 1000.0  # of a normaliser: a failure further off is not in the image
OUTSIDE = 100.0  # boxes: what is further out is in no image
