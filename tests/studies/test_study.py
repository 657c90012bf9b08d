"""Studies as text: every wrong one is refused with its file, its model, its key and the nearest known word."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.errors import RequestError
from isthmus.parts import GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence
from isthmus.studies.figure import DATA
from isthmus.studies.reading import catalog, load_study, parse_study

GOOD = """
title = "good"
[data]
name = "digits"
[[model]]
name = "a"
estimator = "autoencoder"
network = {kind = "dense", hidden = [16], bottleneck = 4}
penalty = {kind = "l1", weight = 1e-3}
corruption = {kind = "gaussian", sigma = 0.1}
learning_rate = 1e-3
[[model]]
name = "p"
estimator = "pca"
n_components = 2
[[measure]]
models = ["a"]
metrics = ["mse"]
corruption = {kind = "gaussian"}
levels = [0.1]
[[figure]]
name = "f"
kind = "scatter"
models = ["p"]
[[reference]]
id = "r"
model = "p"
metric = "mse"
value = 0.1
rtol = 0.1
"""

# what is replaced, by what, and the words that the error must have
WRONG = {
    "key": ("title =", "titel =", ["mine.toml", 'unknown key "titel"', 'Did you mean "title"?']),
    "key of data": ('name = "digits"', 'name = "digits"\ntrian = 5', ["mine.toml, data", '"trian"', '"train"?']),
    "key of a model": ("learning_rate", "lerning_rate", ['model "a"', '"lerning_rate"', '"learning_rate"?']),
    "key of a network": ("hidden =", "hiden =", ['model "a", network', '"hiden"', '"hidden"?']),
    "key of a penalty": ("weight =", "wieght =", ['model "a", penalty', '"wieght"', '"weight"?']),
    "key of an augmentation": (
        "learning_rate = 1e-3",
        'augmentation = {kind = "affine", rotate = 5}',
        ['model "a", augmentation', '"rotate"', '"rotation"?'],
    ),
    "an augmentation too strong": (
        "learning_rate = 1e-3",
        'augmentation = {kind = "affine", scale = 1}',
        ['model "a", augmentation', "scale must be at least 0 and below 1, got 1"],
    ),
    "key of another estimator": ("n_components = 2", "n_components = 2\nepochs = 3", ['model "p"', '"epochs"']),
    "key of a figure": ('kind = "scatter"', 'kind = "scatter"\nmodel = 3', ['figure "f"', '"model"', '"models"?']),
    "key of a reference": ("rtol = 0.1", "rtoll = 0.1", ['reference "r"', '"rtoll"', '"rtol"?']),
    "estimator": ('"autoencoder"', '"autoencodr"', ['model "a"', '"autoencodr"', '"autoencoder"?']),
    "kind": ('kind = "dense"', 'kind = "dens"', ['model "a"', 'network kind "dens"', 'Did you mean "dense"?']),
    "kind that is a list": ('kind = "dense"', 'kind = ["dense"]', ['model "a"', "unknown network kind"]),
    "no kind": ('kind = "dense", ', "", ['model "a"', 'network needs a "kind"']),
    "network as a number": ('{kind = "dense", hidden = [16], bottleneck = 4}', "4", ['model "a"', "must be a table"]),
    "activation": ("hidden = [16]", 'activation = "rleu"', ['model "a"', 'activation "rleu"', '"relu"?']),
    "code activation": ("hidden = [16]", 'code_activation = "tan"', ['model "a"', '"tan"', '"tanh"?']),
    "output": ("hidden = [16]", 'output = "sigmoyd"', ['model "a"', '"sigmoyd"', '"sigmoid"?']),
    "optimizer": ("learning_rate = 1e-3", 'optimizer = "adamm"', ['model "a"', '"adamm"', '"adam"?']),
    "schedule": ("learning_rate = 1e-3", 'schedule = "one_cycle"', ['model "a"', '"one_cycle"', '"one-cycle"?']),
    "loss": ("learning_rate = 1e-3", 'loss = "mze"', ['model "a"', '"mze"', '"mse"?']),
    "per": ("weight = 1e-3", 'weight = 1e-3, per = "sampel"', ['model "a", penalty', '"sampel"', '"sample"?']),
    "metric": ('metrics = ["mse"]', 'metrics = ["mes"]', ["measure 1", 'metric "mes"', '"mse"?']),
    "split": ('metrics = ["mse"]', 'split = "tset"', ["measure 1", '"tset"', '"test"?']),
    "figure kind": ('"scatter"', '"scater"', ['figure "f"', '"scater"', '"scatter"?']),
    "data set": ('"digits"', '"digit"', ["mine.toml, data", 'data set "digit"', '"digits"?']),
    "way to split": ('name = "digits"', 'name = "digits"\nsplit = "files"', ["data", '"files"', '"file"?']),
    "model of a measure": ('models = ["a"]', 'models = ["b"]', ["measure 1", 'unknown model "b"']),
    "model of a figure": ('models = ["p"]', 'models = ["pp"]', ['figure "f"', '"pp"', '"p"?']),
    "model of a reference": ('model = "p"', 'model = "p*"', ['reference "r"', 'unknown model "p*"']),
    "two models of one name": ('name = "p"', 'name = "a"', ["mine.toml", 'two models are named "a"']),
    "name with a slash": ('name = "a"', 'name = "a/b"', ['model "a/b"', "small letters", "'a/b'"]),
    "name of two dots": ('name = "a"', 'name = ".."', ['model ".."', "small letters", "'..'"]),
    "name with a space": ('name = "a"', 'name = "a "', ["small letters", "'a '"]),
    "empty name": ('name = "a"', 'name = ""', ["small letters", "''"]),
    "figure's name with a slash": ('name = "f"', 'name = "../f"', ['figure "../f"', "small letters"]),
    "name as a number": ('name = "a"', "name = 3", ["model", "name must be text", "got 3"]),
    "no name": ('name = "a"\n', "", ["mine.toml, model 1", '"name" is missing']),
    "no estimator": ('estimator = "pca"\n', "", ['model "p"', '"estimator" is missing']),
    "no n_components": ("n_components = 2\n", "", ['model "p"', '"n_components" is missing']),
    "no title": ('title = "good"\n', "", ["mine.toml", '"title" is missing']),
    "no data": ('[data]\nname = "digits"\n', "", ["mine.toml", "[data] is missing"]),
    "no weight": (", weight = 1e-3", "", ['model "a", penalty', '"weight" is missing']),
    "no tolerance": ("rtol = 0.1\n", "", ['reference "r"', "one of rtol and atol"]),
    "models as numbers": ("[[model]]", "[[modle]]", ["mine.toml", '"modle"', '"model"?']),
    "of itself": ('estimator = "pca"', 'estimator = "pca"\nof = "p"', ['model "p", of', '"p"']),
    "of one that comes later": ("learning_rate = 1e-3", 'of = "p"', ['model "a", of', "comes after"]),
    "negative learning rate": (
        "1e-3\n[[model]]",
        "-1e-3\n[[model]]",
        ['"a"', "learning_rate must be a positive", "-0.001"],
    ),
    "learning rate of zero": ("learning_rate = 1e-3", "learning_rate = 0", ['"a"', "learning_rate", "got 0"]),
    "learning rate of NaN": ("learning_rate = 1e-3", "learning_rate = nan", ['"a"', "learning_rate", "got nan"]),
    "endless learning rate": ("learning_rate = 1e-3", "learning_rate = inf", ['"a"', "learning_rate", "got inf"]),
    "learning rate as text": ("learning_rate = 1e-3", 'learning_rate = "1e-3"', ['"a"', "a number", "'1e-3'"]),
    "no epochs": ("learning_rate = 1e-3", "epochs = 0", ['"a"', "epochs must be", "got 0"]),
    "half an epoch": ("learning_rate = 1e-3", "epochs = 0.5", ['"a"', "epochs must be an integer", "0.5"]),
    "truth as a number": ("learning_rate = 1e-3", "epochs = true", ['"a"', "epochs must be an integer", "True"]),
    "negative batch": ("learning_rate = 1e-3", "batch_size = -1", ['"a"', "batch_size", "-1"]),
    "no patience": ("learning_rate = 1e-3", "patience = 0", ['"a"', "patience", "got 0"]),
    "patience for nothing": ("learning_rate = 1e-3", "patience = 2", ['"a"', "patience needs validation"]),
    "shuffle": ("learning_rate = 1e-3", 'shuffle = "twice"', ['"a"', "shuffle", "'twice'"]),
    "negative sigma": ("sigma = 0.1", "sigma = -0.1", ['"a", corruption', "sigma must be at least 0", "-0.1"]),
    "sigma of NaN": ("sigma = 0.1", "sigma = nan", ['"a", corruption', "sigma", "nan"]),
    "negative weight": ("weight = 1e-3", "weight = -1", ['"a", penalty', "weight must be at least 0", "-1"]),
    "weight of NaN": ("weight = 1e-3", "weight = nan", ['"a", penalty', "weight", "nan"]),
    "no bottleneck": ("bottleneck = 4", "bottleneck = 0", ['"a", network', "bottleneck", "got 0"]),
    "negative width": ("hidden = [16]", "hidden = [-16]", ['"a", network', "hidden", "-16"]),
    "width as text": ("hidden = [16]", 'hidden = ["16"]', ['"a", network', "hidden must be a list", "'16'"]),
    "hidden as a number": ("hidden = [16]", "hidden = 16", ['"a", network', "hidden must be a list", "16"]),
    "no components": ("n_components = 2", "n_components = 0", ['"p"', "n_components", "got 0"]),
    "level of NaN": ("levels = [0.1]", "levels = [nan]", ["measure 1", "sigma", "nan"]),
    "levels without corruption": ('corruption = {kind = "gaussian"}\n', "", ["measure 1", "levels need a corruption"]),
    "corruption without its level": ("levels = [0.1]\n", "", ["measure 1", "needs levels", "or its own sigma"]),
    "levels of one name": ("levels = [0.1]", "levels = [0.1, 0.10000001]", ["mine.toml", "gaussian(0.1"]),
    "train of zero": ('name = "digits"', 'name = "digits"\ntrain = 0', ["data", "train must be at least 1", "got 0"]),
    "negative validation": ('name = "digits"', 'name = "digits"\nvalidation = -1', ["data", "validation", "-1"]),
    "no classes": ('name = "digits"', 'name = "digits"\nclasses = []', ["data", "classes", "()"]),
    "validation that is not there": ('metrics = ["mse"]', 'split = "validation"', ["mine.toml", "validation = 0"]),
    "seed as text": ('title = "good"', 'title = "good"\nseed = "0"', ["mine.toml", "seed must be an integer", "'0'"]),
    "title as a number": ('title = "good"', "title = 1", ["mine.toml", "title must be text"]),
    "value of NaN": ("value = 0.1", "value = nan", ['reference "r"', "value", "nan"]),
    "value as a list": ("value = 0.1", "value = [0.1]", ['reference "r"', "value"]),
    "loss of no training": (
        'metric = "mse"\nvalue',
        'metric = "loss"\nvalue',
        ['"r"', "must be an autoencoder", "'p'"],
    ),
    "tolerance of NaN": ("rtol = 0.1", "rtol = nan", ['reference "r"', "tolerance", "nan"]),
    "negative tolerance": ("rtol = 0.1", "rtol = -0.1", ['reference "r"', "tolerance", "-0.1"]),
    "two tolerances": ("rtol = 0.1", "rtol = 0.1\natol = 0.1", ['reference "r"', "one of rtol and atol"]),
    "scatter of two": ('models = ["p"]', 'models = ["?"]', ['figure "f"', "one model", "'a', 'p'"]),
    "curves of none": ('"scatter"', '"curves"', ['figure "f"', "autoencoders", "'p'"]),
    "picture of nothing": ('models = ["p"]\n', "", ['figure "f"', "one model"]),
    "negative position": ('models = ["p"]', 'models = ["p"]\nimages = [-1]', ['figure "f"', "images", "-1"]),
    "divergence of numbers": ('kind = "l1"', 'kind = "kl"', ['"a"', 'penalty "kl"', "sigmoid", '"relu"']),
    "target of one": ('kind = "l1"', 'kind = "kl", target = 1', ['"a", penalty', "target must be above 0", "got 1"]),
    "warm-up as text": ("weight = 1e-3", 'weight = 1, warmup = "2"', ['"a", penalty', "warmup must be a number"]),
    "half a pixel": (
        '{kind = "gaussian"}\nlevels = [0.1]',
        '{kind = "occlusion"}\nlevels = [2.5]',
        ["measure 1", "2.5"],
    ),
    "shape as a number": (
        '{kind = "gaussian", sigma = 0.1}',
        '{kind = "occlusion", size = 2, image_shape = 28}',
        ['"a", corruption', "image_shape must be a list, each an integer", "28"],
    ),
    "cross-entropy of numbers": ("learning_rate = 1e-3", 'loss = "bce"', ['"a"', "bce", "sigmoid", "linear"]),
    "two references of one id": (
        "[[reference]]",
        '[[reference]]\nid = "r"\nmodel = "p"\nmetric = "mse"\nvalue = 1\natol = 1\n[[reference]]',
        ["mine.toml", 'two references are named "r"'],
    ),
    "not TOML": ("[data]", "[data", ["mine.toml is not TOML", "line"]),
}


WRONG |= {
    "name of another row": ('name = "a"', 'name = "original"', ['model "original"', "none of atoms, ", "'original'"]),
    "name of a file": ('name = "a"', 'name = "file"', ['model "file"', "got 'file'"]),
    "key of a convolution": ('kind = "dense", hidden = [16]', 'kind = "conv", hidden = [16]', ["network", '"hidden"']),
    "decoder": (
        'kind = "dense", hidden = [16], bottleneck = 4',
        'kind = "conv", decoder = "unpol"',
        ["network", '"unpool"?'],
    ),
    "cross-entropy of a convolution": (
        '{kind = "dense", hidden = [16], bottleneck = 4}\n',
        '{kind = "conv"}\nloss = "bce"\n',
        ['model "a"', 'loss "bce" needs output="sigmoid"', "Conv()"],
    ),
    "section of a figure": ("[[figure]]", '[[figure]]\nsection = "one"', ['figure "f"', 'unknown section "one"']),
    "section nearly right": (
        "[[figure]]",
        '[[section]]\nname = "ones"\ntitle = "x"\n[[figure]]\nsection = "one"',
        ['figure "f"', 'known: ones. Did you mean "ones"?'],
    ),
    "section of a trap": (
        "[[figure]]",
        '[[trap]]\nwhat = "a"\ninstead = "b"\nsection = "x"\n[[figure]]',
        ["trap 1", 'unknown section "x"'],
    ),
    "section's name": (
        "[[figure]]",
        '[[section]]\nname = "a.b"\ntitle = "x"\n[[figure]]',
        ['section "a.b"', "small letters, digits and hyphens", "'a.b'"],
    ),
    "two sections of one name": (
        "[[figure]]",
        '[[section]]\nname = "s"\ntitle = "x"\n[[section]]\nname = "s"\ntitle = "y"\n[[figure]]',
        ["mine.toml", 'two sections are named "s"'],
    ),
    "model of a section": (
        "[[figure]]",
        '[[section]]\nname = "s"\ntitle = "x"\nmodels = ["z*"]\n[[figure]]',
        ['section "s"', 'unknown model "z*"'],
    ),
    "negative level": ("levels = [0.1]", "levels = [-0.1]", ["measure 1", "sigma must be at least 0", "-0.1"]),
    "images of an error": (
        'metrics = ["mse"]',
        'metrics = ["mse"]\nimages = [1]',
        ["measure 1", "published_sse", "(1,)"],
    ),
    "published sum of no images": (
        'metrics = ["mse"]',
        'metrics = ["published_sse"]',
        ["measure 1", "images of a measure"],
    ),
    "published sum among others": (
        'metrics = ["mse"]',
        'metrics = ["mse", "published_sse"]\nimages = [1]',
        ["measure 1", "only then"],
    ),
    "negative image of a measure": (
        'metrics = ["mse"]',
        'metrics = ["published_sse"]\nimages = [-1]',
        ["measure 1", "images must be positions of at least 0", "(-1,)"],
    ),
    "published sum twice": (
        "[[figure]]",
        '[[measure]]\nmetrics = ["published_sse"]\nimages = [1]\n' * 2 + "[[figure]]",
        ["mine.toml", "published_sse of a is asked for twice"],
    ),
    "two models of a comparison": (
        "[[figure]]",
        '[[compare]]\nmodels = ["a", "p*"]\n[[figure]]',
        ["compare 1", 'unknown model "p*"'],
    ),
    "a model with itself": (
        "[[figure]]",
        '[[compare]]\nmodels = ["a", "a"]\n[[figure]]',
        ["compare 1", "the models of a comparison must be two names"],
    ),
    "theory of another corruption": (
        "[[figure]]",
        '[[figure]]\nname = "t"\nkind = "levels"\nmodels = ["a"]\ncorruption = {kind = "masking"}\n'
        "levels = [0.1, 0.2]\ntheory = true\n[[figure]]",
        ['figure "t"', "theory must be of a levels figure under Gaussian noise that is not clipped"],
    ),
    "theory of noise that is clipped": (
        "[[figure]]",
        '[[figure]]\nname = "t"\nkind = "levels"\nmodels = ["a"]\ncorruption = {kind = "gaussian", clip = true}\n'
        "levels = [0.1, 0.2]\ntheory = true\n[[figure]]",
        ['figure "t"', "theory must be of a levels figure under Gaussian noise that is not clipped"],
    ),
    "comparison of what is not measured": (
        "[[figure]]",
        '[[compare]]\nmodels = ["a", "p"]\ncorruption = {kind = "gaussian", sigma = 0.1}\n[[figure]]',
        ["compare 1: p must be measured under gaussian(0.1,clip=false) on test images by mse"],
    ),
}

# what takes the place of a reference's metric and value, and the words that the error must have
WRONG_REFERENCES = {
    "noise that is not measured": (
        'metric = "mse"\nvalue = 1\ncorruption = {kind = "gaussian", sigma = 0.5}',
        ["no [[measure]] asks for mse of p on test images under gaussian(0.5,clip=false)"],
    ),
    "noise that is measured for another": (
        'metric = "mse"\nvalue = 1\ncorruption = {kind = "gaussian", sigma = 0.1}',
        ["no [[measure]] asks for mse of p on test images under gaussian(0.1,clip=false)"],
    ),
    "split that is not measured": (
        'metric = "mse"\nvalue = 1\nsplit = "train"',
        ["no [[measure]] asks for mse of p on train images"],
    ),
    "noise without its level": (
        'metric = "mse"\nvalue = 1\ncorruption = {kind = "gaussian"}',
        ["needs levels", "sigma"],
    ),
    "metric": ('metric = "mze"\nvalue = 1', ['unknown metric "mze"', '"mse"?']),
    "list of errors": ('metric = "mse"\nvalue = [1, 2]', ["value must be a number; lists are of loss, or of images"]),
    "list of last steps": ('metric = "step_loss"\nvalue = [1, 2]', ["value must be a number"]),
    "list of another length": (
        'metric = "mse"\nvalue = [1, 2]\nimages = [1, 2, 3]',
        ["images must be as many as values"],
    ),
    "epochs of one loss": ('metric = "loss"\nvalue = 1\nepochs = [3]', ["epochs must be left out for one number"]),
    "epochs of another number": ('metric = "loss"\nvalue = [1, 2]\nepochs = [3]', ["epochs must be as many as values"]),
    "epoch of zero": ('metric = "loss"\nvalue = [1]\nepochs = [0]', ["epochs must be at least 1"]),
    "similarity of single images": (
        'metric = "ssim"\nvalue = 1\nimages = [1]',
        ['unknown metric of single images "ssim"'],
    ),
    "published sum of no images": ('metric = "published_sse"\nvalue = 1', ["images must be given for published_sse"]),
    "negative image": ('metric = "mse"\nvalue = 1\nimages = [-1]', ["images must be positions of at least 0"]),
    "loss of no training": ('metric = "step_loss"\nvalue = 1', ["the model of a loss must be an autoencoder, got 'p'"]),
    "no value": ('metric = "loss"\nvalue = []', ["value must be finite numbers"]),
    "levels of no images": (
        'metric = "mse"\nvalue = 1\ncorruption = {kind = "gaussian"}\nlevels = [0.1]',
        ["levels must be as many as images"],
    ),
}

# the keys of a figure, and the words that the error must have; the models: "a" is deep, "p" a PCA, "i" the identity,
# "flat" and "flat-2" have one layer each way
WRONG_FIGURES = {
    "levels that are not measured": (
        'kind = "levels"\nmodels = ["a"]\ncorruption = {kind = "gaussian"}\nlevels = [0.1, 0.2]',
        ["a must be measured under gaussian(0.2,clip=false) on test images by mse, in a [[measure]]"],
    ),
    "levels that are measured for another": (
        'kind = "levels"\nmodels = ["a", "p"]\ncorruption = {kind = "gaussian"}\nlevels = [0.1, 0.1]',
        ["p must be measured under gaussian(0.1,clip=false)"],
    ),
    "levels measured by another metric": (
        'kind = "levels"\nmodels = ["a"]\nmetric = "psnr"\ncorruption = {kind = "gaussian"}\nlevels = [0.1, 0.1]',
        ["a must be measured under gaussian(0.1,clip=false) on test images by psnr"],
    ),
    "levels by another metric": ('kind = "levels"\nmodels = ["a"]\nmetric = "ssim"', ['metric of a figure "ssim"']),
    "levels of one": (
        'kind = "levels"\nmodels = ["a"]\ncorruption = {kind = "gaussian"}\nlevels = [0.1]',
        ["the levels of a levels figure must be at least two"],
    ),
    "levels of nothing": ('kind = "levels"\nmodels = ["a"]', ["the corruption of a levels figure must be a table"]),
    "denoising of nothing": (
        'kind = "denoising"\nmodels = ["a"]',
        ["the corruption of a denoising figure must be a table"],
    ),
    "denoising of other images": (
        'kind = "denoising"\nmodels = ["a"]\nsource = "mnist"\ncorruption = {kind = "gaussian", sigma = 1}',
        ["the source of a denoising figure must be left out", "'mnist'"],
    ),
    "latent noise without levels": ('kind = "latent-noise"\nmodels = ["a"]', ["the levels of a latent-noise figure"]),
    "latent noise of a corruption": (
        'kind = "latent-noise"\nmodels = ["a"]\nlevels = [1]\ncorruption = {kind = "gaussian"}',
        ["the corruption of a latent-noise figure must be left out"],
    ),
    "negative noise": (
        'kind = "latent-noise"\nmodels = ["a"]\nlevels = [-1]',
        ["levels must be numbers of at least 0"],
    ),
    "atoms of a deep decoder": (
        'kind = "atoms"\nmodels = ["a"]',
        ["must be one with a decoder of one linear layer", "'a'"],
    ),
    "atoms of two": ('kind = "atoms"\nmodels = ["flat", "p"]', ["models of a atoms figure must be one model"]),
    "atoms of a pattern": ('kind = "atoms"\nmodels = ["flat*"]', ["must be one model, got ['flat', 'flat-2']"]),
    "scatter of a pattern": ('kind = "scatter"\nmodels = ["flat*"]', ["must be one model, got ['flat', 'flat-2']"]),
    "latent noise of a pattern": (
        'kind = "latent-noise"\nmodels = ["*"]\nlevels = [1]',
        ["must be one model, got ['a', "],
    ),
    "curves without training": (
        'kind = "curves"\nmodels = ["p", "i"]',
        ["autoencoders, which have curves", "['p', 'i']"],
    ),
    "curves of weeks": ('kind = "curves"\nmodels = ["a"]\nper = "steps"', ['value of "per" "steps"', '"step"?']),
    "curves from epoch zero": ('kind = "curves"\nmodels = ["a"]\nfirst_epoch = 0', ["first_epoch must be at least 1"]),
    "filters of the identity": (
        'kind = "filters"\nmodels = ["i", "p"]',
        ["models with filters and codes of their own", "['i']"],
    ),
    "usage of the identity": ('kind = "usage"\nmodels = ["i"]', ["got ['i']"]),
    "nearest of the identity": ('kind = "nearest"\nmodels = ["i"]', ["got ['i']"]),
    "filters of a side": ('kind = "filters"\nmodels = ["a"]\nside = "decodr"', ['unknown side "decodr"', '"decoder"?']),
    "filters of a negative channel": ('kind = "filters"\nmodels = ["a"]\nchannel = -1', ["channel must be at least 0"]),
    "filters of negative units": ('kind = "filters"\nmodels = ["a"]\nunits = [0, -1]', ["units must be positions"]),
    "interpolation of three": (
        'kind = "interpolation"\nmodels = ["a"]\nimages = [1, 2, 3]',
        ["the images of an interpolation must be two", "(1, 2, 3)"],
    ),
    "no images": ('kind = "images"\nimages = []', ["images must be positions of at least 0, got ()"]),
    "other images": ('kind = "images"\nsource = "noize"', ['unknown source "noize"', '"noise"?']),
    "split": ('kind = "images"\nsplit = "validation"', ["validation images, and [data] has validation = 0"]),
    "no models": ('kind = "reconstructions"', ["models must be a list of at least one model"]),
}


# the corruption of the model "a": what stands in its table, and the words that the error must have
WRONG_SEQUENCES = {
    "no list": ('{kind = "sequence", parts = 3}', ['model "a", corruption: parts must be a list, each a table, got 3']),
    "no parts": ('{kind = "sequence"}', ['model "a", corruption: the key "parts" is missing']),
    "nothing": ("[]", ['model "a", corruption: parts must be a list of at least one corruption']),
    "a word for a table": ('["masking"]', ['model "a", corruption, part 1: the key "fraction" is missing']),
    "a number for a table": ("[3]", ['model "a", corruption, part 1: corruption must be a table']),
    "kind": (
        '[{kind = "masking", fraction = 0.1}, {kind = "gausian", sigma = 1}]',
        ['model "a", corruption, part 2: unknown corruption kind "gausian"', 'Did you mean "gaussian"?'],
    ),
    "no kind": ("[{sigma = 1}]", ['model "a", corruption, part 1: corruption needs a "kind"']),
    "key": (
        '{kind = "sequence", parts = [{kind = "masking", fracton = 0.1}]}',
        ['model "a", corruption, part 1: unknown key "fracton"', '"fraction"?'],
    ),
    "value": ('[{kind = "masking", fraction = 2}]', ['model "a", corruption, part 1: fraction must be', "got 2"]),
    "key of the whole": (
        '{kind = "sequence", part = [{kind = "masking", fraction = 0.1}]}',
        ['model "a", corruption: unknown key "part"', '"parts"?'],
    ),
    "sequence in a sequence": (
        '[{kind = "sequence", parts = [{kind = "masking", fraction = 0.1}]}]',
        ['model "a", corruption: each of parts must be a corruption other than a sequence'],
    ),
}

# the corruption and levels of a measure, and the words that the error must have
WRONG_LEVELS = {
    "none left out": ('[{kind = "masking", fraction = 0.1}]\nlevels = [0.1]', ["got 0 such parts of 1"]),
    "two left out": ('[{kind = "masking"}, {kind = "gaussian"}]\nlevels = [0.1]', ["got 2 such parts of 2"]),
    "none given": ('[{kind = "poisson", peak = 9}, {kind = "gaussian"}]', ["needs levels", "its own sigma"]),
    "kind": ('[{kind = "gausian"}]\nlevels = [0.1]', ["part 1: unknown corruption kind", 'Did you mean "gaussian"?']),
    "kind of one": ('{kind = "gausian"}\nlevels = [0.1]', ["unknown corruption kind", 'Did you mean "gaussian"?']),
    "no kind": ("{sigma = 1}", ['corruption needs a "kind"']),
    "no parts": ('{kind = "sequence"}\nlevels = [0.1]', ['"parts" is missing']),
    "level": ('[{kind = "masking"}]\nlevels = [7]', ["corruption, part 1: fraction must be", "got 7"]),
    "other key": ('[{kind = "masking", fraction = 0.1, clip = true}]', ['corruption, part 1: unknown key "clip"']),
    "key of the whole": ('{kind = "sequence", parts = [{kind = "masking"}], x = 1}\nlevels = [0.1]', ['key "x"']),
    "word": ('"masking"\nlevels = [0.1]', ["corruption must be a table or a list of tables", "'masking'"]),
}


def assert_one_line(message: str, words: list[str]) -> None:
    assert "\n" not in message
    assert not [word for word in words if word not in message], message


def test_the_good_study_is_good():
    study = parse_study(GOOD, "good", "good.toml")
    assert [model.name for model in study.models] == ["a", "p"]
    assert study.model("a").arguments["network"].hidden == (16,)
    assert study.model("p").arguments == {"n_components": 2}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_study_is_refused(what):
    old, new, words = WRONG[what]
    assert old in GOOD
    with pytest.raises(RequestError) as refused:
        parse_study(GOOD.replace(old, new, 1), "mine", "mine.toml")
    assert_one_line(str(refused.value), words)


@pytest.mark.parametrize("what", WRONG_REFERENCES)
def test_a_wrong_reference_is_refused(what):
    lines, words = WRONG_REFERENCES[what]
    with pytest.raises(RequestError) as refused:
        parse_study(GOOD.replace('metric = "mse"\nvalue = 0.1', lines, 1), "mine", "mine.toml")
    assert_one_line(str(refused.value), ['mine.toml, reference "r"', *words])


MORE_MODELS = """
[[model]]
name = "i"
estimator = "identity"
[[model]]
name = "flat"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4}
[[model]]
name = "flat-2"
estimator = "autoencoder"
"""


@pytest.mark.parametrize("what", WRONG_FIGURES)
def test_a_wrong_figure_is_refused(what):
    lines, words = WRONG_FIGURES[what]
    with pytest.raises(RequestError) as refused:
        parse_study(f'{GOOD}{MORE_MODELS}[[figure]]\nname = "g"\n{lines}\n', "mine", "mine.toml")
    assert_one_line(str(refused.value), ["mine.toml", *words])
    assert 'figure "g"' in str(refused.value) or "validation" in what or "split" in what


RIGHT_FIGURES = [
    'kind = "levels"\nmodels = ["a"]\ncorruption = {kind = "gaussian"}\nlevels = [0.1, 0.1]',
    'kind = "atoms"\nmodels = ["p"]',
    'kind = "atoms"\nmodels = ["flat"]',
    'kind = "latent-noise"\nmodels = ["a"]\nlevels = [0, 1]\nrelative = true',
    'kind = "filters"\nmodels = ["a", "p"]\nside = "decoder"\nunits = [1, 0]',
    'kind = "reconstructions"\nmodels = ["*"]\nsource = "noise"',
    'kind = "interpolation"\nmodels = ["a"]\nimages = [1, 2]',
    'kind = "curves"\nmodels = ["*"]\nper = "step"',
]


@pytest.mark.parametrize("lines", RIGHT_FIGURES)
def test_a_right_figure_is_read(lines):
    study = parse_study(f'{GOOD}{MORE_MODELS}[[figure]]\nname = "g"\n{lines}\n', "mine", "mine.toml")
    assert f'"{study.figures[-1].kind}"' in lines


@pytest.mark.parametrize("what", WRONG_SEQUENCES)
def test_a_wrong_sequence_is_refused_with_its_place(what):
    table, words = WRONG_SEQUENCES[what]
    with pytest.raises(RequestError) as refused:
        parse_study(GOOD.replace('{kind = "gaussian", sigma = 0.1}', table, 1), "mine", "mine.toml")
    assert_one_line(str(refused.value), ["mine.toml, ", *words])


@pytest.mark.parametrize("what", WRONG_LEVELS)
def test_wrong_levels_are_refused(what):
    lines, words = WRONG_LEVELS[what]
    with pytest.raises(RequestError) as refused:
        parse_study(GOOD.replace('{kind = "gaussian"}\nlevels = [0.1]', lines, 1), "mine", "mine.toml")
    assert_one_line(str(refused.value), ["mine.toml, measure 1", *words])


GAUSSIAN, MASKING = '{kind = "gaussian", sigma = 0.3}', '{kind = "masking", fraction = 0.2}'


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ('{kind = "occlusion", size = 3.0, image_shape = [1, 8, 8]}', Occlusion(3, image_shape=(1, 8, 8))),
        ('{kind = "salt-and-pepper", fraction = 1}', SaltAndPepper(1)),
        (f'{{kind = "sequence", parts = [{GAUSSIAN}, {MASKING}]}}', Sequence((GaussianNoise(0.3), Masking(0.2)))),
        (f"[{GAUSSIAN}, {MASKING}]", Sequence((GaussianNoise(0.3), Masking(0.2)))),
        (f"[{MASKING}]", Sequence((Masking(0.2),))),
    ],
)
def test_corruptions_of_models(table, part):
    study = parse_study(GOOD.replace('{kind = "gaussian", sigma = 0.1}', table, 1), "mine", "mine.toml")
    assert study.model("a").arguments["corruption"] == part
    json.dumps(study.model("a").table())


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        ('{kind = "gaussian"}\nlevels = [0.1, 1]', ["gaussian(0.1,clip=false)", "gaussian(1,clip=false)"]),
        ('{kind = "gaussian", sigma = 0.2, clip = true}', ["gaussian(0.2)"]),
        ('{kind = "occlusion"}\nlevels = [2, 4.0]', ["occlusion(2)", "occlusion(4)"]),
        ('{kind = "poisson"}\nlevels = [10]', ["poisson(10)"]),
        (f"[{MASKING}]", ["masking(0.2)"]),
        (
            f'[{{kind = "poisson"}}, {MASKING}]\nlevels = [10, 100]',
            ["poisson(10)+masking(0.2)", "poisson(100)+masking(0.2)"],
        ),
        ('["salt-and-pepper"]\nlevels = [0.1]', ["salt-and-pepper(0.1)"]),
        (
            f'{{kind = "sequence", parts = [{MASKING}, {{kind = "gaussian", clip = true}}]}}\nlevels = [0.3]',
            ["masking(0.2)+gaussian(0.3)"],
        ),
    ],
)
def test_corruptions_of_measures(lines, labels):
    study = parse_study(GOOD.replace('{kind = "gaussian"}\nlevels = [0.1]', lines, 1), "mine", "mine.toml")
    assert [part.label for part in study.measures[0].corruptions()] == labels


def test_the_levels_go_into_the_part_that_leaves_its_own_out():
    text = '[{kind = "masking", fraction = 0.2}, {kind = "poisson"}]\nlevels = [30]'
    study = parse_study(GOOD.replace('{kind = "gaussian"}\nlevels = [0.1]', text, 1), "mine", "mine.toml")
    assert study.measures[0].corruptions() == [Sequence((Masking(0.2), Poisson(30)))]


def test_a_denoising_figure_needs_no_level_if_its_corruption_has_one():
    figure = '[[figure]]\nname = "d"\nkind = "denoising"\nmodels = ["a"]\ncorruption = '
    study = parse_study(f"{GOOD}{figure}[{GAUSSIAN}, {MASKING}]", "mine", "mine.toml")
    assert study.figures[-1].corruptions() == [Sequence((GaussianNoise(0.3), Masking(0.2)))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["mine.toml", "[data] is missing"]),
        ('title = "x"\n[data]\nname = "digits"', ["mine.toml", "at least one [[model]]"]),
        ('title = "x"\nmodel = [1]\n[data]\nname = "digits"', ["mine.toml, model 1", "must be a table"]),
        ('title = "x"\nmodel = ["name"]\n[data]\nname = "digits"', ["mine.toml, model 1", "must be a table"]),
        ('title = "x"\nmodel = 3\n[data]\nname = "digits"', ["mine.toml", "[[model]]"]),
        ('title = "x"\ndata = "digits"', ["mine.toml", "must be a table"]),
        ('title = "x"\nfigure = [[1]]\n[data]\nname = "digits"', ["mine.toml, figure 1", "must be a table"]),
    ],
)
def test_a_study_of_another_form_is_refused(text, words):
    with pytest.raises(RequestError) as refused:
        parse_study(text, "mine", "mine.toml")
    assert_one_line(str(refused.value), words)


def test_a_file_that_is_not_a_study_is_refused(tmp_path, capsys):
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(bytes(range(128)))
    cases = {
        "latin.toml": "UTF-8", "folder.toml": "directory", "missing.toml": "No such file", "binary.toml": "not TOML",
        "": "directory",
    }  # fmt: skip
    for name, word in cases.items():
        assert run_command(["run", f"{tmp_path}/{name}", "--out", str(tmp_path / "out")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert name in err
        assert word in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["...toml", "....toml"])
def test_a_study_never_lies_outside_its_folder(tmp_path, name):
    (tmp_path / name).write_text(GOOD)
    with pytest.raises(RequestError, match="name"):
        load_study(f"{tmp_path}/{name}")


def test_an_unknown_study_suggests_the_nearest():
    with pytest.raises(RequestError) as refused:
        load_study("digts")
    assert_one_line(str(refused.value), ['"digts"', 'Did you mean "digits"?', "./mine.toml"])


@pytest.mark.parametrize("name", catalog())
def test_every_shipped_study_is_whole(name):
    study = load_study(name)
    assert study.name == name
    assert study.title
    assert study.question
    assert study.traps
    assert len({figure.kind for figure in study.figures}) >= 4


def test_the_shipped_studies():
    assert {"compress", "digits"} <= set(catalog())


def test_data_sets_are_those_that_can_be_loaded():
    from isthmus.data.sources import names

    assert sorted(DATA) == sorted(names())


# STUDIES.md: 784-32-784 and 784-256-64-32-64-256-784; pca-32-2 takes the 32 codes of pca-32
WIDTHS = {"dense-32": [784, 32, 784]} | {
    f"deep-32-{a}": [784, 256, 64, 32, 64, 256, 784] for a in ("relu", "tanh", "leakyrelu")
}


def test_compress_has_the_published_widths():
    import torch

    from isthmus.networks import build

    study = load_study("compress")
    built = {}
    for model in study.models:
        if model.training:
            network = build(model.arguments["network"], 784, torch.Generator().manual_seed(0))
            built[model.name] = sum(p.numel() for p in network.parameters())
    expected = {name: sum(a * b + b for a, b in pairwise(widths)) for name, widths in WIDTHS.items()}
    assert built == expected | {f"{name}-right": count for name, count in expected.items()}


def test_compress_is_trained_as_published():
    study = load_study("compress")
    assert (study.data.name, study.data.pool_test, study.data.train) == ("mnist", True, None)
    for name in WIDTHS:
        training, network = study.model(name).training, study.model(name).arguments["network"]
        epochs = 11 if name == "dense-32" else 10
        assert (training.optimizer, training.learning_rate, training.batch_size) == ("adam", 1e-3, 128)
        assert (training.epochs, training.schedule, training.shuffle) == (epochs, "constant", True)
        activation = "relu" if name == "dense-32" else name.removeprefix("deep-32-")
        assert (network.activation, network.code_activation or activation) == (activation, activation)
        assert network.output == "sigmoid"
        right = study.model(f"{name}-right")  # differs in nothing but the images that it is fitted on
        assert right.arguments == study.model(name).arguments
        assert study.pools(study.model(name))
        assert not study.pools(right)
    components = {m.name: (m.arguments["n_components"], m.of) for m in study.models if m.estimator == "pca"}
    assert components == {
        "pca-2": (2, None),
        "pca-32": (32, None),
        "pca-32-2": (2, "pca-32"),
        "pca-32-right": (32, None),
    }


def test_compress_has_every_published_number():
    path = Path(__file__).parents[1] / "reference" / "published.json"
    published = {k: v for k, v in json.loads(path.read_text()).items() if k.startswith("compress.")}
    references = {reference.id: reference for reference in load_study("compress").references}
    assert references.keys() == published.keys()
    assert published
    for name, fact in published.items():
        reference = references[name]
        value = list(reference.value) if isinstance(reference.value, tuple) else reference.value
        assert (value, reference.rtol, reference.atol) == (fact["value"], fact["rtol"], None)
        assert reference.model == name.split(".")[1]
        if fact.get("data") == "all 70,000":
            assert reference.split == "all"
        if "epochs 1, 5, 10" in fact.get("note", ""):
            assert reference.epochs == (1, 5, 10)


def test_quick_is_one_epoch_on_few_images():
    study = load_study("compress").quick(60_000)
    assert (study.data.train, study.data.test, study.data.validation) == (2000, 2000, 0)
    assert {model.training.epochs for model in study.models if model.training} == {1}
    assert study.figures == load_study("compress").figures
    few = load_study("digits").quick(1437)
    assert (few.data.train, few.data.validation) == (1237, 200)
    assert dataclasses.replace(few, data=study.data).title == load_study("digits").title


def test_within_takes_other_images_where_there_are_none():
    text = GOOD.replace('models = ["p"]', 'models = ["p"]\nimages = [9, 10, 25]\nsplit = "train"')
    text += '[[figure]]\nname = "g"\nkind = "images"\nsource = "mnist"\nimages = [9705]\n'
    text += '[[measure]]\nmetrics = ["published_sse"]\nimages = [3, 7]\n'
    study = parse_study(text, "mine", "mine.toml").within({"train": 10, "test": 4})
    assert [figure.images for figure in study.figures] == [(9, 0, 5), (9705,)], "another data set is not cut"
    assert study.measures[-1].images == (3, 3)
    assert study.references == parse_study(text, "mine", "mine.toml").references


def test_only_includes_what_a_model_depends_on():
    study = load_study("compress")
    assert [model.name for model in study.only(["pca-32-2"])] == ["pca-32", "pca-32-2"]
    assert [model.name for model in study.only(["*-tanh", "pca-2"])] == ["pca-2", "deep-32-tanh"]
    assert study.only([]) == study.models
    with pytest.raises(RequestError, match='compress: unknown model "dense-33"'):
        study.only(["dense-33"])


def test_a_wrong_study_is_refused_before_anything_slow_is_imported(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD.replace('"relu"', "").replace("hidden =", "hiden ="))
    program = (
        "import sys; from isthmus.cli import run_command; code = run_command(sys.argv[1:]);"
        "slow = {'torch', 'sklearn', 'matplotlib', 'numpy', 'scipy', 'jinja2', 'rich'} & set(sys.modules);"
        "sys.exit(f'imported {slow}' if slow else code)"
    )
    command = [sys.executable, "-c", program, "run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert_one_line(done.stderr.rstrip("\n"), ["isthmus: mine.toml", 'model "a"', '"hiden"', '"hidden"'])
    assert not (tmp_path / "out").exists()


def test_a_models_own_device_is_refused_for_the_run_decides_it():
    text = 'title = "x"\n[data]\nname = "digits"\n[[model]]\nname = "a"\nestimator = "autoencoder"\ndevice = "cuda"\n'
    with pytest.raises(RequestError, match=r'x\.toml, model "a": unknown key "device"'):
        parse_study(text, "x", "x.toml")


def test_a_study_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_text("\ufeff" + catalog()["digits"], "utf-8")
    assert load_study(str(path)).title == load_study("digits").title
