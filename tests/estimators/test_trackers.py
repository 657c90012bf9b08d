"""Callbacks that write to TensorBoard, Weights & Biases and MLflow, read back with these packages themselves."""

import pickle
import struct
import sys
import time
from functools import partial

import numpy as np
import pytest

from isthmus import Autoencoder, Denoiser, Dense, Gaussian, Images, Residual
from isthmus.callbacks import Log, MLflow, TensorBoard, WandB, numbers_of, picture_of
from isthmus.errors import RequestError

X = np.random.default_rng(0).random((40, 1, 6, 5)).astype("float32")


def model(**options):
    return Autoencoder(Dense(bottleneck=2), epochs=3, random_state=0, validation_fraction=0.2, **options)


def rows_of(fitted):
    return [numbers_of(row) for row in fitted.history_]


def test_log_takes_any_function():
    rows = []
    fitted = model(code=Gaussian(), loss="mse").set_callbacks(Log(rows.append)).fit(X)
    assert rows == [{"epoch": i + 1, **numbers} for i, numbers in enumerate(rows_of(fitted))]
    assert rows[0].keys() == {"epoch", "loss", "seconds", "validation_loss", "terms/kl"}


def test_tensorboard_has_each_epoch_the_parameters_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fitted = model().set_callbacks(TensorBoard(tmp_path / "é", images=X[:4])).fit(X)
    events = EventAccumulator(str(tmp_path / "é"))
    events.Reload()
    for name in ("loss", "validation_loss"):
        expected = [np.float32(row[name]) for row in rows_of(fitted)]
        assert [(event.step, event.value) for event in events.Scalars(name)] == list(enumerate(expected, 1))
    assert [(image.width, image.height) for image in events.Images("images")] == [(4 * 5, 2 * 6)] * 3
    (text,) = events.Tensors("parameters/text_summary")
    assert b"network = Dense(bottleneck=2)" in text.tensor_proto.string_val[0]


def records_of(log, block=2**15):
    """The records of a log as LevelDB writes it: pieces with a checksum, a length and whether more follow."""
    place, whole = 7, b""
    while place + 7 <= len(log):
        if block - place % block < 7:
            place += block - place % block
        length, kind = struct.unpack_from("<HB", log, place + 4)
        whole += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_weights_and_biases_has_each_epoch_offline(tmp_path, monkeypatch):
    import wandb
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_SILENT", "true")
    fitted = model().set_callbacks(WandB(project="p", mode="offline", dir=tmp_path, images=X[:4])).fit(X)
    assert wandb.run is None, "what the callback opened is closed"
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    losses, config, deadline = [], "", time.monotonic() + 60
    while len(losses) < 3 and time.monotonic() < deadline:  # a process of wandb's own writes them
        losses, config = [], ""
        for data in records_of(file.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            losses += [float(items["loss"])] if "loss" in items else []
            config += str(record.run.config) + str(record.config)
        time.sleep(0.1)
    assert losses == pytest.approx([row["loss"] for row in rows_of(fitted)])
    assert "Dense(bottleneck=2)" in config
    assert len(list(tmp_path.glob("wandb/**/media/images/*.png"))) == 3
    with wandb.init(mode="offline", dir=tmp_path / "open") as run:
        model().set_callbacks(WandB()).fit(X)
        assert wandb.run is run, "what was open stays open"


def test_mlflow_has_each_epoch(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its databases need a larger package
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    fitted = model().set_callbacks(MLflow(run_name="mine", images=X[:4])).fit(X)
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    assert run.info.run_name == "mine"
    assert run.data.params["network"] == "Dense(bottleneck=2)"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == list(enumerate([row["loss"] for row in rows_of(fitted)], 1))
    assert (
        len([1 for artifact in client.list_artifacts(run.info.run_id, "images") if artifact.path.endswith(".png")]) == 3
    )


def test_a_picture_has_what_came_out_below_what_went_in():
    fitted = model().fit(X)
    picture = picture_of(fitted, X[:3])
    assert (picture.shape, picture.dtype) == ((12, 15, 1), np.uint8)
    low, high = X[:3].min(), X[:3].max()
    shown = picture[:6, :5, 0] / 255 * (high - low) + low
    assert np.allclose(shown, X[0, 0], atol=(high - low) / 500)
    expected = fitted.reconstruct(X[:3])[2, 0].clip(low, high)
    assert np.allclose(picture[6:, 10:, 0] / 255 * (high - low) + low, expected, atol=(high - low) / 500)
    images = Images((X * 255).round().astype(np.uint8))
    assert np.array_equal(
        picture_of(model().fit(images), images)[:6], picture_of(fitted, images.pixels / np.float32(255))[:6]
    )
    photographs = np.random.default_rng(0).random((3, 3, 16, 20)).astype("float32")
    denoiser = Denoiser(Residual(width=4, depth=2), crop=16, crops_per_epoch=8, batch_size=8, epochs=1, random_state=0)
    assert picture_of(denoiser.fit(photographs), photographs).shape == (32, 60, 3)
    assert picture_of(fitted, np.zeros((1, 1, 6, 5), "float32")).max() <= 255
    with pytest.raises(RequestError, match="images must be Images or an array"):
        picture_of(fitted, X.reshape(40, -1))


@pytest.mark.parametrize(("kind", "package"), [(TensorBoard, "tensorboard"), (WandB, "wandb"), (MLflow, "mlflow")])
def test_what_is_missing_is_asked_for_by_name_before_anything_is_trained(kind, package, monkeypatch, tmp_path):
    options = {"folder": tmp_path} if kind is TensorBoard else {}
    assert pickle.loads(pickle.dumps(kind(**options))).package == package, "it travels to other processes"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequestError, match=rf"{kind.__name__} needs {package}: pip install 'isthmus\[{package}\]'"):
        kind(**options)


def test_a_place_that_cannot_be_had_is_named_and_what_was_not_opened_is_not_closed(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match=f"cannot write to {tmp_path}/file: "):
        model().set_callbacks(TensorBoard(tmp_path / "file")).fit(X)


@pytest.mark.parametrize("kind", [partial(TensorBoard, "folder"), WandB, MLflow])
@pytest.mark.parametrize("images", [X.reshape(40, -1), X[:0], []])
def test_what_are_no_images_is_refused_before_anything_is_trained(kind, images):
    with pytest.raises(RequestError, match="images must be Images or an array"):
        kind(images=images)


def test_one_that_has_written_travels_to_other_processes_too(tmp_path):
    callback = TensorBoard(tmp_path)
    model().set_callbacks(callback).fit(X)
    model().set_callbacks(pickle.loads(pickle.dumps(callback))).fit(X)
    assert len(list(tmp_path.iterdir())) == 2
