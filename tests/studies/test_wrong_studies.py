"""Studies with one thing wrong: each is refused with its file, its place, its key and the nearest known word."""

from __future__ import annotations

import pytest

from isthmus.errors import RequestError
from isthmus.studies.spec.parser import parse_study

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
    "of one that comes later": (
        "learning_rate = 1e-3",
        'of = "p"',
        ['model "a", of: model "p" is not above it', "must come after"],
    ),
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
    "negative seed": ('title = "good"', 'title = "good"\nseed = -1', ["mine.toml", "seed must be at least 0", "-1"]),
    "seed of 32 bits": ('title = "good"', f'title = "good"\nseed = {2**31}', ["seed must be", "below 2,147,483,648"]),
    "best number of codes": (
        "n_components = 2",
        'n_components = "best"\nof = "a"',
        ['model "p"', 'n_components = "best" cannot go with of'],
    ),
    "search of a decoder of codes": (
        "[[measure]]",
        """[[model]]
name = "of-codes"
estimator = "autoencoder"
of = "a"
[[model]]
name = "search"
estimator = "decoder-prior"
of = "of-codes"
[[measure]]""",
        ['model "search": of must be an autoencoder of images', "'of-codes'"],
    ),
    "bound of nothing": (
        "[[measure]]",
        '[[model]]\nname = "s"\nestimator = "decoder-prior"\nof = "a"\nlower = -inf\n[[measure]]',
        ['model "s"', 'lower must be a number, "auto" or "none"', "-inf"],
    ),
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
    "curves of none": ('"scatter"', '"curves"', ['figure "f"', "trained networks", "'p'"]),
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
        ["mine.toml", "published_sse of a is measured twice"],
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
    "levels by another metric": ('kind = "levels"\nmodels = ["a"]\nmetric = "l0"', ['metric of a figure "l0"']),
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
    "samples of a code without a prior": ('kind = "samples"\nmodels = ["a"]', ["whose code has a prior", "got ['a']"]),
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
        ["trained networks, which have curves", "['p', 'i']"],
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
    "split": ('kind = "images"\nsplit = "validation"', ["validation images, but [data] has validation = 0"]),
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


def refusal(text: str) -> str:
    """The one line in which a study is refused."""
    with pytest.raises(RequestError) as refused:
        parse_study(text, "mine", "mine.toml")
    message = str(refused.value)
    assert "\n" not in message
    return message


def assert_words(message: str, words: list[str]) -> None:
    assert not [word for word in words if word not in message], message


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_study_is_refused(what, good):
    old, new, words = WRONG[what]
    assert old in good
    message = refusal(good.replace(old, new, 1))
    assert_words(message, words)


@pytest.mark.parametrize("what", WRONG_REFERENCES)
def test_a_wrong_reference_is_refused(what, good):
    lines, words = WRONG_REFERENCES[what]
    message = refusal(good.replace('metric = "mse"\nvalue = 0.1', lines, 1))
    assert_words(message, ['mine.toml, reference "r"', *words])


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
def test_a_wrong_figure_is_refused(what, good):
    lines, words = WRONG_FIGURES[what]
    message = refusal(f'{good}{MORE_MODELS}[[figure]]\nname = "g"\n{lines}\n')
    assert_words(message, ["mine.toml", *words])
    assert 'figure "g"' in message or "validation" in what or "split" in what


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
def test_a_right_figure_is_read(lines, good):
    study = parse_study(f'{good}{MORE_MODELS}[[figure]]\nname = "g"\n{lines}\n', "mine", "mine.toml")
    assert f'"{study.figures[-1].kind}"' in lines


@pytest.mark.parametrize("what", WRONG_SEQUENCES)
def test_a_wrong_sequence_is_refused_with_its_place(what, good):
    table, words = WRONG_SEQUENCES[what]
    message = refusal(good.replace('{kind = "gaussian", sigma = 0.1}', table, 1))
    assert_words(message, ["mine.toml, ", *words])


@pytest.mark.parametrize("what", WRONG_LEVELS)
def test_wrong_levels_are_refused(what, good):
    lines, words = WRONG_LEVELS[what]
    message = refusal(good.replace('{kind = "gaussian"}\nlevels = [0.1]', lines, 1))
    assert_words(message, ["mine.toml, measure 1", *words])
