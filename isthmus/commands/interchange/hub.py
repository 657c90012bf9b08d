"""Models on the Hugging Face hub: sent in one commit, fetched whole or not at all.

What is said of a failure is in our words: no message of a server's or a library's is repeated, and never a token.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus import __version__, persistence
from isthmus.errors import DataError, RequestError, RunError, needing
from isthmus.estimators.saving import CARD, CONFIG, FILES, WEIGHTS, check_weights
from isthmus.files import atomic_folder, remove

_OTHERS = {".gitattributes"}  # which the hub itself puts into a repository


def send(folder: Path, repository: str, card: str, *, private: bool) -> str:
    """Send a model's folder in one commit, with this card unless it has one; the address of where it is then.

    repository: USER/NAME; it is made if it is not there. Files of a model that was there before go, if this one has
    none of that name. Raises RequestError for a folder that is no whole model, for a repository of anything else, and
    where the hub refuses; RunError if it cannot be reached.
    """
    api = _api()
    check_weights(folder, persistence.read_config(folder)["weights_sha256"])
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with _in_words(repository, "write to"):
        address = api.create_repo(repository, private=private or None, exist_ok=True)
        info = api.model_info(address.repo_id)
        if private and not info.private:
            raise RequestError(f"{repository} is there already, and public; make it private on its page first")
        there = _names(info) - _OTHERS
        if foreign := sorted(there - set(FILES)):
            raise RequestError(f"{repository} holds {foreign[0]}, which no model of isthmus has; choose another name")
        present = [name for name in FILES if (folder / name).is_file()]
        operations: list[Any] = [CommitOperationAdd(name, folder / name) for name in present]
        if CARD not in present:
            operations.append(CommitOperationAdd(CARD, card.encode()))
        operations += [CommitOperationDelete(name) for name in sorted(there - {*present, CARD})]
        api.create_commit(address.repo_id, operations, commit_message=f"Model of isthmus {__version__}")
        return str(address)


def fetch(repository: str, folder: Path, revision: str | None) -> None:
    """Fetch a model into a folder, which replaces a model that lies there only when it is whole.

    Only the files of a model are fetched, and held against the hashes in its config.json. Raises RequestError where
    there is none; DataError for one that is not whole; RunError if the hub cannot be reached.
    """
    api = _api()
    persistence.check_place(folder)
    with _in_words(repository, "read"):
        info = api.model_info(repository, revision=revision)
        names = _names(info)
        if missing := [name for name in (CONFIG, WEIGHTS) if name not in names]:
            raise RequestError(f"{repository} has no {missing[0]}, so it is no model of isthmus")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as building:
            for name in FILES:
                if name in names:
                    api.hf_hub_download(repository, name, revision=info.sha, local_dir=building)
            remove(building / ".cache")  # where the library notes what it has
            try:
                check_weights(building, persistence.read_config(building)["weights_sha256"])
            except DataError as error:
                fault = str(error).replace(f"{building}{os.sep}", "")
                raise DataError(f"{repository} does not hold a whole model: {fault}") from None


def _names(info: Any) -> set[str]:
    return {each.rfilename for each in info.siblings or ()}


def _api() -> Any:
    with needing("hub", "the Hugging Face hub", "huggingface_hub"):
        import huggingface_hub.utils
    utils: Any = huggingface_hub.utils
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    return huggingface_hub.HfApi(
        endpoint=os.environ.get("HF_ENDPOINT"), library_name="isthmus", library_version=__version__
    )


@contextlib.contextmanager
def _in_words(repository: str, verb: str) -> Iterator[None]:
    """Raise what the library raises as one of our errors. verb: what was tried, as in "may not write to"."""
    import huggingface_hub.errors

    # its HTTPError is that of its transport, which is another package in its first version
    errors: Any = huggingface_hub.errors

    log_in = "`hf auth login`, or $HF_TOKEN, says who you are"
    try:
        yield
    except errors.HFValidationError:
        raise RequestError(f"{repository!r} is not the name of a repository; it must be like USER/NAME") from None
    except errors.LocalTokenNotFoundError:
        raise RequestError(f"you may not {verb} {repository} without an account: {log_in}") from None
    except errors.GatedRepoError:
        raise RequestError(f"{repository} asks for a consent on its page before it is read; {log_in}") from None
    except errors.RevisionNotFoundError:
        raise RequestError(f"{repository} has no such revision; give a branch, a tag or a commit of it") from None
    except errors.RepositoryNotFoundError:
        raise RequestError(f"there is no {repository}, or you may not see it; check its name; {log_in}") from None
    except (errors.HTTPError, errors.LocalEntryNotFoundError, ConnectionError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) else error  # of a large file that was not sent
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status in (401, 403):
            raise RequestError(f"you may not {verb} {repository}: {log_in}, with a token that may") from None
        if status is not None:
            raise RunError(f"the hub failed to {verb} {repository} (HTTP {status}); try again later") from None
        reason = type(cause or error).__name__
        raise RunError(f"the hub cannot be reached, or broke off ({reason}); try again with a network") from None
